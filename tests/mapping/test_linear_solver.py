"""Which adjustments of many images are solved by factorisation."""

import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csc_array

from sfm.mapping.scene.linear_solver import factors_within, images_by_point, with_linear_solver

from .tracked import tracked_model

CHAIN = [{i, i + 1, i + 2} for i in range(38)]
"""Each point is of three successive photos."""
ALL = [{0, *rest} for rest in ({i, i + 1} for i in range(1, 39))] + [set(range(40))]
"""One point is of all photos."""


def _options(most: int) -> pycolmap.BundleAdjustmentOptions:
    options = pycolmap.BundleAdjustmentOptions()
    options.ceres.max_num_images_direct_sparse_cpu_solver = most
    return options


def _solver(model: pycolmap.Reconstruction, options: pycolmap.BundleAdjustmentOptions) -> str:
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
    problem = pycolmap.create_default_ceres_bundle_adjuster(options, config, model).problem
    return str(options.ceres.create_solver_options(config, problem).linear_solver_type.name)


def test_a_chain_of_many_images_is_factorised() -> None:
    model, options = tracked_model(40, CHAIN), _options(20)
    options.ceres.max_num_images_direct_dense_cpu_solver = 5
    assert _solver(model, options) == "ITERATIVE_SCHUR"
    assert _solver(model, with_linear_solver(model, options)) == "SPARSE_SCHUR"
    assert _solver(model, options) == "ITERATIVE_SCHUR", "options must be left unchanged"


def test_many_images_of_one_thing_are_left_to_conjugate_gradients() -> None:
    model, options = tracked_model(40, ALL), _options(20)
    assert with_linear_solver(model, options) is options


@pytest.mark.parametrize("most", [40, 1000])
def test_few_images_are_left_to_colmap(most: int) -> None:
    options = _options(most)
    assert with_linear_solver(tracked_model(40, CHAIN), options) is options


def test_the_columns_of_a_model_are_its_registered_images() -> None:
    seen = images_by_point(tracked_model(40, CHAIN)).toarray()
    assert seen.shape == (38, 40)
    assert {frozenset(np.flatnonzero(row).tolist()) for row in seen} == set(map(frozenset, CHAIN))


@given(st.integers(1, 30))
def test_the_cost_of_images_that_all_share_a_point(num_images: int) -> None:
    seen = csc_array(np.ones((1, num_images), np.float32))
    cost = num_images * (num_images + 1) * (2 * num_images + 1) / 6  # columns of n, n - 1, ..., 1
    assert factors_within(seen, cost)
    assert not factors_within(seen, cost - 1)


@given(st.lists(st.sets(st.integers(0, 19), min_size=2, max_size=4), min_size=1, max_size=40))
def test_the_cost_is_that_of_a_factor(tracks: list[set[int]]) -> None:
    seen = np.zeros((len(tracks), 20), np.float32)
    for row, images in zip(seen, tracks, strict=True):
        row[list(images)] = 1
    # In any order of elimination the factor has at least the entries of the matrix, and at most all.
    entries = (np.count_nonzero(seen.T @ seen + np.eye(20)) + 20) / 2
    assert not factors_within(csc_array(seen), entries**2 / 20 - 1)
    assert factors_within(csc_array(seen), 20 * 21 * 41 / 6)
