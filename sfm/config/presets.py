"""Where the named presets are: inside an installed package, or in configs/ of a checkout."""

from pathlib import Path

from sfm.errors import ConfigError
from sfm.untrusted.suggestions import nearest

_PACKAGE = Path(__file__).resolve().parent.parent


def preset_names() -> tuple[str, ...]:
    """Names of all presets, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def preset_path(name: str) -> Path:
    """The file of a preset.

    Raises:
        ConfigError: there is no preset of that name.
    """
    names = preset_names()
    if name not in names:
        near = nearest(name, names)
        guess = f" (did you mean '{near[0]}'?)" if near else ""
        raise ConfigError(f"no preset '{name}'{guess}; there are: {', '.join(names)}")
    return _folder() / f"{name}.yaml"


def in_checkout() -> bool:
    """Whether the package runs from a checkout: presets in `configs/`, and the demo's photos there."""
    return not (_PACKAGE / "presets").is_dir()


def _folder() -> Path:
    return _PACKAGE.parent / "configs" if in_checkout() else _PACKAGE / "presets"
