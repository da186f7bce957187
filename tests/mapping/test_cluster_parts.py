"""What a process that maps a cluster is given says the same as the whole does."""

from dataclasses import fields
from pathlib import Path

import numpy as np

from retrieval import Pair
from sfm.colmap.rigs import write_rigs
from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping.depth.keypoint_depth import KeypointDepth
from sfm.mapping.scene.options import mapper_options, with_threads
from sfm.mapping.scene.part_database import write_part
from sfm.mapping.scene.scene import Scene

from . import synthetic
from . import test_rigs as rigs
from .chain import NUM_PHOTOS, REACH, window


def test_part_of_a_scene_is_read_back_as_it_was(chain: synthetic.Scene, tmp_path: Path) -> None:
    pairs = window(NUM_PHOTOS, REACH)
    whole = Scene.open(chain.database)
    gone = Pair.of(whole.name_of[3], whole.name_of[4])
    scene = whole.without({gone})
    chosen = {scene.name_of[i] for i in range(1, 21)}
    camera = scene.cache.camera(1)
    camera.params = [1234.0, *list(camera.params)[1:]]

    write_part(scene, chosen, tmp_path / "part.db")

    part = Scene.open(tmp_path / "part.db")
    assert set(part.id_of) == chosen
    assert len(part.view_graph) == sum(j <= 20 for _, j in pairs) - 1
    assert gone not in part.view_graph
    assert part.cache.camera(1).params[0] == 1234.0
    for pair, edge in part.view_graph.edges.items():
        ids = [scene.id_of[name] for name in pair]
        assert [part.id_of[name] for name in pair] == ids
        assert edge.num_inliers == scene.view_graph.edges[pair].num_inliers
        assert np.array_equal(
            part.cache.correspondence_graph.extract_matches_between_images(*ids),
            scene.cache.correspondence_graph.extract_matches_between_images(*ids),
        )


def test_a_part_holds_whole_frames_but_only_pairs_of_its_own(tmp_path: Path) -> None:
    source = rigs.synthesize(tmp_path / "whole.db")
    write_rigs(source.database, rigs.known(source.truth))
    whole = Scene.open(source.database)
    left_out = next(name for name in sorted(whole.id_of) if name.startswith(rigs.RIGHT))

    write_part(whole, set(whole.id_of) - {left_out}, tmp_path / "part.db")

    part = Scene.open(tmp_path / "part.db")
    assert part.id_of == whole.id_of
    assert part.view_graph.edges.keys() == {pair for pair in whole.view_graph.edges if left_out not in pair}


def test_threads_are_all_that_changes_in_options_with_others() -> None:
    one, three = (
        mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=frozenset(), threads=n, seed=4)
        for n in (1, 3)
    )

    changed = with_threads(three, 1)

    for part in fields(one):
        before, after = getattr(one, part.name), getattr(changed, part.name)
        assert str(after) == str(before)
    assert three.global_ba.ceres.solver_options.num_threads == 3


class _Plane:
    """Depth that grows with x + y, known left of x = 600 alone."""

    metric = True

    def at(self, name: str, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        depth = np.where(xy[:, 0] < 600, 1 + xy.sum(axis=1), np.nan)
        return depth, np.full(len(xy), 2.0)


def test_depth_at_keypoints_is_that_of_the_whole_source(chain: synthetic.Scene) -> None:
    scene = Scene.open(chain.database, _Plane())
    name = scene.name_of[7]
    xy = scene.keypoints(7)[::-3].astype(np.float64)

    found = KeypointDepth.of(scene, [name])

    assert found is not None
    assert found.metric
    told = found.at(name, xy)
    assert told is not None
    for got, expected in zip(told, _Plane().at(name, xy), strict=True):
        assert np.array_equal(got, expected, equal_nan=True)
    elsewhere = found.at(name, xy + 0.25)
    assert elsewhere is not None
    assert np.isnan(elsewhere[0]).all()
    assert found.at(scene.name_of[8], xy) is None
