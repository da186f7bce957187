"""Values for options of pycolmap's own classes, and which section of the configuration carries them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SECTION = "colmap"
"""Name of the section of a configuration file that holds such values."""

Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Group:
    """The options of one of pycolmap's classes."""

    section: str
    """Section of `Config` that carries their values: stages depend on them as on its other options."""
    cls: str


GROUPS: Mapping[str, Group] = {
    "feature_extraction": Group("sift", "FeatureExtractionOptions"),
    "sift_extraction": Group("sift", "SiftExtractionOptions"),
    "feature_matching": Group("matching", "FeatureMatchingOptions"),
    "sift_matching": Group("matching", "SiftMatchingOptions"),
    "two_view_geometry": Group("verify", "TwoViewGeometryOptions"),
    "incremental_pipeline": Group("register", "IncrementalPipelineOptions"),
    "incremental_mapper": Group("register", "IncrementalMapperOptions"),
    "incremental_triangulator": Group("register", "IncrementalTriangulatorOptions"),
    "bundle_adjustment": Group("register", "BundleAdjustmentOptions"),
    "global_pipeline": Group("register", "GlobalPipelineOptions"),
    "global_mapper": Group("register", "GlobalMapperOptions"),
}
"""Sections below `colmap`."""


@dataclass(frozen=True, slots=True)
class ColmapValues:
    """What is set differently from what the engine would set, by name below `colmap`, sorted."""

    values: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Value]) -> ColmapValues:
        """`values` by name, such as `sift_matching.max_ratio`."""
        return cls(tuple(sorted(values.items())))

    def but(self, **values: Value) -> ColmapValues:
        """These with others for `incremental_mapper`."""
        return self.of({**dict(self.values), **{f"incremental_mapper.{k}": v for k, v in values.items()}})

    def set_on(self, group: str, options: Any) -> None:
        """Set those of `group` on an object of its class."""
        for name, value in self.values:
            first, _, rest = name.partition(".")
            if first == group:
                set_value(options, rest, value)

    def made(self, group: str) -> Any:
        """pycolmap's options of `group` with these values, and its defaults where there is none."""
        import pycolmap

        options = getattr(pycolmap, GROUPS[group].cls)()
        self.set_on(group, options)
        return options


def set_value(options: Any, name: str, value: Value) -> None:
    """Set the dotted `name` on one of pycolmap's objects; enumerations by the name of a member."""
    *parents, leaf = name.split(".")
    for parent in parents:
        options = getattr(options, parent)
    members = getattr(type(getattr(options, leaf)), "__members__", None)
    setattr(options, leaf, value if members is None else members[value])


NOTHING_SET = ColmapValues()
