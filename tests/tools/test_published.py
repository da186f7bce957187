"""Figures of others: checked, and beside them ours of the same sets only."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest
import yaml
from metrics.rows import accuracy_of
from page.published import PUBLISHED, counterparts, read_published
from photo_sets import DATASETS
from photo_sets.registry import listed_scenes
from photo_sets.sets import set_name

from sfm.errors import InputError
from sfm.evaluation import GroundTruth
from tests.tools.report_rows import SCORES, row


def test_means_stand_beside_published_ones_only_when_all_sets_were_measured() -> None:
    table = next(t for t in read_published() if t.id == "eth3d")
    rows = [
        row(name, "ours", **{**SCORES, "auc1": float(i)}) for i, name in enumerate(eth3d_sets("training"))
    ]

    assert counterparts(table, rows[:12]) == ()
    (mine,) = counterparts(table, rows)
    assert mine.values == (6.0, 70.0, 80.0)


def eth3d_sets(group: str, *, dataset: str = "eth3d", subset: str = "") -> list[str]:
    return [set_name(dataset, scene, subset) for scene in listed_scenes(DATASETS["eth3d"], group)]


def test_sets_of_other_protocols_are_no_counterpart() -> None:
    """Other variants and subsets of the same scenes; further scenes beside those of the protocol."""
    table = next(t for t in read_published() if t.id == "eth3d")
    others = [
        eth3d_sets("training", dataset="eth3d-distorted"),
        eth3d_sets("training", subset="10"),
        eth3d_sets("test")[:12],
    ]

    for names in others:
        assert counterparts(table, [row(name, "ours", **{**SCORES, "auc1": 0.0}) for name in names]) == ()
    everything = [row(name, "ours", **SCORES) for name in eth3d_sets("all")]
    everything += [row(name, "ours", **{**SCORES, "auc1": 0.0}) for name in others[0]]
    (mine,) = counterparts(table, everything)
    assert mine.values == (50.0, 70.0, 80.0)


def table_of(name: str):
    return next(t for t in read_published() if t.id == name)


def test_each_column_has_the_sets_of_its_own_subset_beside_it() -> None:
    """As ATE by the number of photos; a subset that was not measured on all scenes stays empty."""
    scenes = listed_scenes(DATASETS["tanks_and_temples"], "all")
    names = [set_name("tanks_and_temples", scene, "25") for scene in scenes]
    names += [set_name("tanks_and_temples", scene, "50") for scene in scenes[1:]]
    rows = [row(name, "ours", ate_frobenius=0.02, registered=5) for name in names]

    (mine,) = counterparts(table_of("tanks-views"), rows)

    assert mine.values == (pytest.approx(0.02), 50.0, *[None] * 8)


def test_an_area_from_bins_takes_translations_of_either_sign() -> None:
    centres = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])

    def poses(sign: float) -> dict[str, pycolmap.Rigid3d]:
        return {f"{i}": pycolmap.Rigid3d(pycolmap.Rotation3d(), -sign * c) for i, c in enumerate(centres)}

    found = accuracy_of([poses(-1.0)], GroundTruth(poses(1.0), None, None))

    assert (found.auc30, found.maa30) == (0.0, 100.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("source"), r"tables\[0\]\.source: .*required"),
        (lambda t: t.update(confidence="sure"), r"tables\[0\]\.confidence: "),
        (lambda t: t["rows"][0]["values"].pop(), "GLOMAP . SIFT: 2 values for 3 columns"),
        (lambda t: t["rows"][0]["values"].__setitem__(0, float("nan")), "finite"),
        (lambda t: t["measured"][0].update(figures=["auc1", "auc2", None]), "no such figure: auc2"),
        (lambda t: t["measured"][0].update(group="train"), "no list of scenes has eth3d:train"),
        (lambda t: t["measured"][0].update(dataset="eth"), "no list of scenes has eth:training"),
        (lambda t: t["measured"][0].update(sets="eth3d-*"), r"tables\[0\]\.measured\[0\]\.sets: Unexpected"),
        (lambda t: t.update(url="x"), r"tables\[0\]\.url: Unexpected"),
    ],
)
def test_malformed_published_figures_are_refused_by_name(tmp_path: Path, change, message: str) -> None:
    content = yaml.safe_load(PUBLISHED.read_text())
    change(content["tables"][0])
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(content))

    with pytest.raises(InputError, match=message):
        read_published(path)
