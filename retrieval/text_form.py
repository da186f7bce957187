"""Options whose text has a form of its own, for the places that validate options and describe them.

Used in an annotation, `Annotated[str, TextForm(...)]`; pydantic calls the two hooks by name, so that this
package needs no import of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler


@dataclass(frozen=True, slots=True)
class TextForm:
    """A pattern that the whole text must match, and how a message names what is expected."""

    pattern: str
    """Regular expression that Python and JSON schemas read alike."""
    expected: str
    """Completes "should be …"."""
    examples: tuple[str, ...] = ()
    """Texts that editors may offer."""

    def fits(self, text: str) -> bool:
        """Whether a text has this form."""
        return re.fullmatch(self.pattern, text) is not None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        from pydantic_core import PydanticCustomError, core_schema

        def checked(text: str) -> str:
            if not self.fits(text):
                raise PydanticCustomError(
                    "text_form", "Input should be {expected}", {"expected": self.expected}
                )
            return text

        return core_schema.no_info_after_validator_function(checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Mapping[str, Any]:
        return {**handler(schema), "pattern": f"^({self.pattern})$", "examples": list(self.examples)}
