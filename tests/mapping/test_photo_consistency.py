"""Whether images look alike where they should: photos of a textured wall, rendered by hand."""

from collections.abc import Mapping

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from retrieval import Pair
from sfm.mapping.measures.photo_consistency import photo_consistencies, similar_log_odds

from .test_covisibility import FOCAL, at, model_of

AB = Pair("a", "b")
PER_UNIT = 60.0


class Rendered:
    """Photos of planes at a depth of 5, of which each photo sees its own."""

    def __init__(self, photos: Mapping[str, tuple[pycolmap.Rigid3d, NDArray[np.float64]]]) -> None:
        self._photos = photos

    def grey(self, name: str, size: tuple[int, int]) -> NDArray[np.uint8] | None:
        if name not in self._photos:
            return None
        pose, texture = self._photos[name]
        x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
        centre = -pose.translation
        on_wall = [(axis - middle) / FOCAL * (5.0 - centre[2]) for axis, middle in ((x, 320), (y, 240))]
        at_texture = [
            (place + offset) * PER_UNIT + 500 for place, offset in zip(on_wall, centre[:2], strict=True)
        ]
        grey = map_coordinates(texture, at_texture[::-1], order=1, mode="reflect")
        return np.clip(grey, 0, 255).astype(np.uint8)


def texture(seed: int) -> NDArray[np.float64]:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(1000, 1000)), 2)
    return 128 + 40 * noise / noise.std()


ONE, OTHER = texture(0), texture(1)
PRINT = ONE.copy()
PRINT[:, 520:] = OTHER[:, 520:]
"""The same left of x = 1/3, another scene right of it."""


def dense_wall(depth: float) -> NDArray[np.float64]:
    """Points by chance in the plane z = depth, (N, 3): some of two images lie close beside each other."""
    x, y = np.random.default_rng(7).uniform((-3, -2), (4, 2), (3000, 2)).T
    return np.column_stack((x, y, np.full(len(x), depth)))


def test_photos_of_one_wall_look_alike_also_where_one_observes_no_point() -> None:
    points = dense_wall(5.0)
    model = model_of({"a": (at(0), points), "b": (at(0.4), points[::3])})

    found = photo_consistencies(model, Rendered({"a": (at(0), ONE), "b": (at(0.4), ONE)}))

    assert found.keys() == {AB}
    assert found[AB] > 2


def test_photos_that_share_a_print_alone_do_not_look_alike_around_it() -> None:
    """Both observe the points of the print, and each its own around it."""
    points = dense_wall(5.0)
    around, number = points[:, 0] > 0.2, np.arange(len(points))
    views = {
        "a": (at(0), points[~around | (number % 2 == 0)]),
        "b": (at(0.1), points[~around | (number % 2 == 1)]),
        "c": (at(0.2), points[~around]),
    }

    found = photo_consistencies(
        model_of(views), Rendered({"a": (at(0), ONE), "b": (at(0.1), PRINT), "c": (at(0.2), ONE)})
    )

    assert found[AB] < -1
    assert found[Pair("a", "c")] > 1


def test_a_shift_of_few_pixels_and_another_exposure_do_not_matter() -> None:
    points = dense_wall(5.0)
    model = model_of({"a": (at(0), points), "b": (at(0.4), points[::3])})
    darker = 60 + 0.4 * ONE

    found = similar_log_odds(model, Rendered({"a": (at(0), ONE), "b": (at(0.41), darker)}))

    assert found[AB] > 2.5


def test_points_behind_what_an_image_observes_are_not_compared() -> None:
    """Right of the print `b` observes points on the wall, and in a second case right in front of it alone."""
    points = dense_wall(5.0)
    points = points[(points[:, 0] > -0.6) & (points[:, 0] < 0.7)]
    is_left, number = points[:, 0] < 0.2, np.arange(len(points))
    left, near = points[is_left], 0.03 * dense_wall(5.0)  # `a` sees these under another angle
    a = (at(0), points[is_left | (number % 2 == 0)])
    photos = Rendered({"a": (at(0), ONE), "b": (at(0.1), PRINT)})
    beside = {"a": a, "b": (at(0.1), points[is_left | (number % 2 == 1)])}
    behind = {"a": a, "b": (at(0.1), np.vstack((left, near[near[:, 0] > 0.1])))}

    found, hidden = (similar_log_odds(model_of(views), photos)[AB] for views in (beside, behind))
    assert hidden > found + 1


def test_points_where_the_other_image_observes_nothing_are_not_compared() -> None:
    """Something without texture may hide them."""
    points = dense_wall(5.0)
    views = {"a": (at(0), points), "b": (at(0.1), points[points[:, 0] < 0.2])}
    photos = Rendered({"a": (at(0), ONE), "b": (at(0.1), PRINT)})

    assert similar_log_odds(model_of(views), photos)[AB] > 0


def test_a_point_behind_an_image_that_observes_it_is_not_compared() -> None:
    """Models are judged while they grow, before such points are filtered."""
    points = dense_wall(5.0)
    model = model_of({"a": (at(0), points), "b": (at(0.4), points[::3])})
    photos = Rendered({"a": (at(0), ONE), "b": (at(0.4), ONE)})
    whole = similar_log_odds(model, photos)[AB]
    model.point3D(min(model.point3D_ids())).xyz = np.array([0.0, 0.0, -5.0])

    assert abs(similar_log_odds(model, photos)[AB] - whole) < 0.5


def test_pairs_without_common_points_and_photos_that_are_missing_are_left_out() -> None:
    points = dense_wall(5.0)
    apart = model_of({"a": (at(0), points[::2]), "b": (at(0.1), points[1::2])})
    model = model_of({"a": (at(0), points), "b": (at(0.1), points)})
    photos = {"a": (at(0), ONE), "b": (at(0.1), ONE)}

    assert photo_consistencies(apart, Rendered(photos)) == {}
    assert photo_consistencies(model, Rendered({"a": photos["a"]})) == {}
    assert photo_consistencies(pycolmap.Reconstruction(), Rendered(photos)) == {}
