"""Options of earlier versions: refused with their names of today, and read from run.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sfm.config.loading import PATHS_FILE, load_config
from sfm.config.options import Option
from sfm.config.renamed import earlier_names
from sfm.config.schema import Config
from sfm.config.values import find_option
from sfm.errors import ConfigError


@pytest.mark.parametrize(("old", "new"), earlier_names().items())
def test_an_earlier_name_is_refused_with_that_of_today(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=f"is now {new}$" if new else "is no longer an option"):
        load_config(overrides=[f"{old}=1"])
    assert not new or isinstance(find_option(new), Option)


def test_an_earlier_run_json_says_what_it_said(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    earlier = {
        "sift": {"peak_threshold": 0.02 / 3, "edge_threshold": 12.0, "upright": True},
        "matching": {"max_ratio": 0.8, "guided": True},
        "mast3r": {"oracle": "…/scene", "token_cache_gb": 3.0, "tracks": "naive"},
        "register": {"filter_max_reproj_error_px": 3.0, "max_rounds": 2},
    }
    path.write_text(json.dumps({"config": earlier, "outcomes": []}), encoding="utf-8")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / PATHS_FILE).write_text(json.dumps({"mast3r.oracle": "/a/scene"}), encoding="utf-8")

    assert load_config(path) == load_config(
        overrides=[
            "colmap.sift_extraction.edge_threshold=12.0",
            "sift.upright=true",
            "colmap.feature_matching.guided_matching=true",
            "internal.mast3r.oracle=/a/scene",
            "internal.mast3r.tracks=naive",
            "colmap.incremental_mapper.filter_max_reproj_error=3.0",
            "register.max_rounds=2",
        ]
    )


def test_an_earlier_run_json_of_defaults_is_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"config": {"matching": {"max_ratio": 0.8}, "register": {"guided": true}}}')

    assert load_config(path) == Config()
