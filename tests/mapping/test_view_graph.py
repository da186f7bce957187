from pathlib import Path

import numpy as np
import pycolmap
import pytest

from retrieval import Pair
from sfm.mapping import TwoView, ViewGraph

from . import synthetic


def view(num_inliers: int = 100) -> TwoView:
    return TwoView(num_inliers, "calibrated", 0.5)


SQUARE_WITH_TAIL = ViewGraph(
    ("a", "b", "c", "d", "e", "f"),
    {
        Pair("a", "b"): view(),
        Pair("b", "c"): view(300),
        Pair("c", "d"): view(),
        Pair("a", "d"): view(),
        Pair("d", "e"): view(20),
    },
)


def test_components_come_largest_first_with_single_photos_at_the_end() -> None:
    assert SQUARE_WITH_TAIL.components() == [{"a", "b", "c", "d", "e"}, {"f"}]


def test_neighbours_come_by_inliers_then_by_name() -> None:
    assert SQUARE_WITH_TAIL.neighbours("b") == ("c", "a")
    assert SQUARE_WITH_TAIL.neighbours("d") == ("a", "c", "e")
    assert SQUARE_WITH_TAIL.neighbours("f") == SQUARE_WITH_TAIL.neighbours("stranger") == ()


def test_support_counts_registered_neighbours() -> None:
    assert SQUARE_WITH_TAIL.support("d", {"a", "c", "f"}) == 2
    assert SQUARE_WITH_TAIL.degree("d") == 3


def test_a_bridge_is_an_edge_that_alone_holds_two_parts() -> None:
    assert SQUARE_WITH_TAIL.bridges() == [Pair("d", "e")]


def test_restricted_keeps_edges_inside_only() -> None:
    part = SQUARE_WITH_TAIL.restricted({"a", "b", "e"})

    assert part.names == ("a", "b", "e")
    assert set(part.edges) == {Pair("a", "b")}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two photos, 20 matches in the left quarter of the one and all over the other; names run against ids."""
    path = tmp_path / "database.db"
    xy = np.stack(np.meshgrid(np.linspace(10, 790, 5), np.linspace(10, 590, 4)), -1).reshape(-1, 2)
    with pycolmap.Database.open(path) as db:
        camera = pycolmap.Camera.create_from_model_id(1, pycolmap.CameraModelId.PINHOLE, 700.0, 800, 600)
        db.write_camera(camera, use_camera_id=True)
        for image_id, name, scale in ((3, "z.jpg", 1.0), (7, "a.jpg", 0.25)):
            image = pycolmap.Image(image_id=image_id, name=name, camera_id=1)
            db.write_image(image, use_image_id=True)
            db.write_keypoints(image_id, (xy * (scale, 1)).astype(np.float32))
        geometry = pycolmap.TwoViewGeometry()
        geometry.config = 2
        geometry.inlier_matches = np.tile(np.arange(20, dtype=np.uint32)[:, None], 2)
        db.write_two_view_geometry(3, 7, geometry)
    return path


def test_reading_orders_names(database: Path) -> None:
    graph = ViewGraph.read(database)

    edge = graph.edges[Pair("a.jpg", "z.jpg")]
    assert (edge.num_inliers, edge.config) == (20, "calibrated")


def test_spread_is_that_of_the_photo_with_the_narrower_matches(database: Path) -> None:
    spread = ViewGraph.read(database).edges[Pair("a.jpg", "z.jpg")].spread

    assert spread == 8 / 64  # two columns of the grid, four rows of keypoints


def test_pairs_with_too_few_inliers_are_left_out(database: Path) -> None:
    graph = ViewGraph.read(database, min_num_inliers=21)

    assert graph.names == ("a.jpg", "z.jpg")
    assert len(graph) == 0


def test_a_ring_of_photos_is_one_component(tmp_path: Path) -> None:
    scene = synthetic.synthesize(tmp_path / "database.db", num_images=4, num_points=60)

    graph = ViewGraph.read(scene.database)

    assert len(graph) == 6
    assert [len(part) for part in graph.components()] == [4]
