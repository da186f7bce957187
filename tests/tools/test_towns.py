"""Towns: tours close, the alley alone joins the districts of a bridge, look-alikes are one texture."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from render_scene import Shoot, plan
from synthetic import PinholeRadial, crossings, district, facades

SMALL = PinholeRadial(48, 36, focal_px=24.0)


@pytest.mark.parametrize(
    ("views", "scene"),
    [(60, "facades"), (100, "bridge"), pytest.param(200, "district", marks=pytest.mark.slow)],
)
def test_a_tour_goes_in_short_steps_through_no_wall(views: int, scene: str) -> None:
    photos = plan(Shoot(scene=scene, views=views))
    centres = np.array([photo.pose.centre for photo in photos])
    renderer = photos[0].scene.renderer()

    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    ahead = [renderer.depth(SMALL, photo.pose)[:, 20:28] for photo in photos[::6]]

    assert [photo.component for photo in photos] == [scene] * views
    assert steps.max() < 4.0
    assert min(depth[depth > 0].min() for depth in ahead) > 0.4  # nothing hangs before the lens
    assert np.median([np.median(depth) for depth in ahead]) > 3.0


@pytest.mark.parametrize(
    ("views", "scene"), [(60, "facades"), pytest.param(200, "district", marks=pytest.mark.slow)]
)
def test_a_tour_through_a_district_ends_where_it_began_and_crosses_itself(views: int, scene: str) -> None:
    photos = plan(Shoot(scene=scene, views=views))
    centres = np.array([photo.pose.centre for photo in photos])

    assert np.linalg.norm(centres[0] - centres[-1]) < 4.0
    middle = crossings(2, 1 if views < 120 else 2)[1, 1]
    at_the_middle = np.flatnonzero(np.linalg.norm(centres[:, :2] - middle, axis=1) < 2.0)
    assert np.count_nonzero(np.diff(at_the_middle) > 5) >= 1  # it is passed, left and passed again


def test_no_view_leads_from_one_district_of_a_bridge_to_the_other() -> None:
    """Only photos in the alley stand in its range of x; from the districts nothing beyond it is seen."""
    photos = plan(Shoot(scene="bridge", views=100))
    renderer = photos[0].scene.renderer()
    x, y = SMALL.rays()

    west = [photo for photo in photos if photo.pose.centre[0] < -11]
    inside = [photo for photo in photos if abs(photo.pose.centre[0]) < 10]

    assert 5 <= len(inside) <= 12
    assert len(west) >= 40
    for photo in west[::4]:
        depth = renderer.depth(SMALL, photo.pose)
        local = np.stack([x, y, np.ones_like(x)], axis=-1)[depth > 0] * depth[depth > 0][:, None]
        world = (local - photo.pose.translation) @ photo.pose.rotation
        assert world[world[:, 2] < 5, 0].max() < 10.5  # roofs may be seen, streets not


def test_facades_repeat_a_few_fronts_in_different_rows_and_a_district_repeats_none() -> None:
    def fronts(scene) -> Counter[int]:
        return Counter(id(quad.texture) for quad in scene.quads if quad.texture.shape[1] > 200)

    def places(scene) -> dict[tuple[int, int], int]:
        return Counter(quad.texture.shape[:2] for quad in scene.quads)

    alike, different = facades(0, columns=2, rows=1), district(0, columns=2, rows=1)

    assert places(alike)[560, 440] >= 8  # 5.5 m x 7.0 m at 80 texels a metre, lit each in its own way
    assert places(facades(0, columns=2, rows=1, terraces=True))[560, 440] >= 2 * 8
    assert places(different)[560, 440] == 0
    assert max(fronts(different).values()) == 1
