"""Matches read from a database are those of COLMAP, in the order of the names."""

import numpy as np
import pycolmap

from retrieval import Pair
from sfm.mapping import PairMatches, ViewGraph

from .synthetic import synthesize


def test_what_is_read_is_what_the_view_graph_has(tmp_path) -> None:
    scene = synthesize(tmp_path / "scene.db", num_images=4)

    matches = PairMatches.read(scene.database)

    graph = ViewGraph.read(scene.database)
    assert {pair: len(m) for pair, m in matches.inliers.items()} == {
        pair: edge.num_inliers for pair, edge in graph.edges.items()
    }
    assert sorted(matches.keypoints) == list(graph.names)
    name = graph.names[0]
    assert matches.sizes[name] == (1024, 768)
    assert matches.diagonal_px(name) == 1280.0


def test_the_first_column_belongs_to_the_first_name_whatever_the_ids(tmp_path) -> None:
    path = tmp_path / "two.db"
    with pycolmap.Database.open(path) as db:
        camera = db.write_camera(
            pycolmap.Camera(model="SIMPLE_PINHOLE", width=40, height=30, params=[30, 20, 15])
        )
        ids = [db.write_image(pycolmap.Image(name=name, camera_id=camera)) for name in ("z.jpg", "a.jpg")]
        for image_id, count in zip(ids, (50, 20), strict=True):
            db.write_keypoints(image_id, np.zeros((count, 2), np.float32))
        geometry = pycolmap.TwoViewGeometry()
        geometry.config = pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED
        geometry.inlier_matches = np.column_stack([np.arange(49, 29, -1), np.arange(20)]).astype(np.uint32)
        db.write_two_view_geometry(*ids, geometry)

    matches = PairMatches.read(path)

    found = matches.inliers[Pair("a.jpg", "z.jpg")]
    assert found[0].tolist() == [0, 49]
    assert found.dtype == np.int64
    assert PairMatches.read(path, min_num_inliers=21).inliers == {}
    counts = matches.num_pairs_of_keypoints
    assert counts["a.jpg"].tolist() == [1] * 20
    assert counts["z.jpg"].sum() == 20
