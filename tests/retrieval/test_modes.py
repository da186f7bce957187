"""Modes of the first scene graph: mixtures of them, and the graphs of MASt3R-SfM as one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Pair, Reason, RetrievalConfig, RetrievalError
from retrieval.builders import build_scene_graph
from retrieval.codebook import train_codebook
from retrieval.config import MODES
from retrieval.index import RetrievalIndex
from retrieval.mast3r_sfm_graph import pair_graph
from retrieval.metadata_pairs import sequential
from sfm.config.loading import load_config
from sfm.config.printing import config_schema
from sfm.errors import ConfigError

FEW_PAIRS = RetrievalConfig(exhaustive_max_photos=0, pairs_per_photo=2.0, sequential_overlap=2)


class Scored:
    """Stands for an index whose scores are given."""

    def __init__(self, names: list[str], similarity: np.ndarray) -> None:
        self.names = tuple(names)
        self._similarity = similarity

    def scores(self, name: str) -> np.ndarray:
        return self._similarity[self.names.index(name)].copy()


def indexed(images: dict[str, np.ndarray]) -> RetrievalIndex:
    return RetrievalIndex.build(train_codebook(images.values(), 60), images)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Everything that any mode wants to know of twelve photos."""
    rng = np.random.default_rng(0)
    landmarks = rng.standard_normal((200, 16))
    images = {f"{i:02d}": landmarks[i * 10 : i * 10 + 40].astype(np.float32) for i in range(12)}
    path = tmp_path_factory.mktemp("pairs") / "pairs.txt"
    path.write_text("00 09\n03 11\n", encoding="utf-8")
    positions = {name: np.array([10.0 * i, 0, 0]) for i, name in enumerate(images)}
    return {"index": indexed(images), "positions_m": positions, "pairs_file": str(path)}


def built(mode: str, known: dict):
    config = replace(
        FEW_PAIRS, mode=mode, pairs_file=known["pairs_file"], mast3r_sfm_graph="retrieval-3-2", num_anchors=0
    )
    index = known["index"]
    return build_scene_graph(index.names, config, index=index, positions_m=known["positions_m"])


@given(modes=st.lists(st.sampled_from(MODES), min_size=1, max_size=4))
def test_a_mixture_is_a_union_in_which_the_first_mode_gives_the_reason(known: dict, modes: list[str]) -> None:
    parts = [built(mode, known).edges for mode in modes]

    mixed = built("+".join(modes), known).edges

    assert set(mixed) == set().union(*parts)
    for pair, edge in mixed.items():
        assert edge == next(part[pair] for part in parts if pair in part)


def test_reasons_tell_the_modes_of_a_mixture_apart(known: dict) -> None:
    edges = built("pairs+sequential", known).edges

    assert edges[Pair("00", "09")].reason is Reason.USER
    assert edges[Pair("00", "01")].reason is Reason.SEQUENCE
    assert set(sequential(known["index"].names, 2)) < set(edges)


@pytest.mark.parametrize("mode", ["retrival", "retrieval+", "+", "+spatial", "sequential,spatial"])
def test_other_modes_are_refused_by_builder_and_configuration(mode: str) -> None:
    with pytest.raises(RetrievalError, match="there is no mode"):
        build_scene_graph(["a", "b"], replace(FEW_PAIRS, mode=mode))
    with pytest.raises(ConfigError, match=r"should be 'retrieval', .* joined by '\+'"):
        load_config(overrides=[f"retrieval.mode={mode}"])


def test_the_schema_for_editors_knows_mixtures() -> None:
    import re

    for key in ("mode", "mast3r_sfm_graph"):
        option = config_schema()["properties"]["retrieval"]["properties"][key]
        for example in option["examples"]:
            assert re.search(option["pattern"], example)
            assert load_config(overrides=[f"retrieval.{key}={example}"])
        assert not re.search(option["pattern"], "retrieval+nearest")


@pytest.mark.parametrize(
    "text",
    [
        *("nearest-3", "retrieval-3", "swin--1", "oneref-1-2", "complete-2"),
        *("seq3", "complete-seq", "retrieval-20-10-seq", "retrieval-20-10-seq-3", "swin-seq3-noncyclic"),
    ],
)
def test_graph_names_that_the_builder_refuses_are_refused_early(text: str) -> None:
    with pytest.raises(RetrievalError):
        pair_graph(text, 5, similarity=np.eye(5))
    with pytest.raises(ConfigError, match=r"mast3r_sfm_graph.* retrieval-A-K, each also with -seqD or -cycD"):
        load_config(overrides=[f"retrieval.mast3r_sfm_graph={text}"])


@pytest.mark.parametrize(
    "text", ["complete", "swin-2", "swin-2-noncyclic", "logwin-3", "oneref-4", "swin-seq2"]
)
def test_graphs_that_look_at_no_photo_need_no_index(text: str) -> None:
    names = [f"{i}" for i in range(7)]

    graph = build_scene_graph(names, replace(FEW_PAIRS, mode="mast3r-sfm", mast3r_sfm_graph=text))

    assert set(graph.edges) == set(pair_graph(text, 7).edges(names))


def test_a_reach_leaves_out_pairs_far_apart_in_the_order_of_names(known: dict) -> None:
    option = "retrieval.mast3r_sfm_graph=retrieval-3-4"
    whole, near = (
        build_scene_graph(
            known["index"].names,
            load_config(overrides=["retrieval.mode=mast3r-sfm", option + reach]).retrieval,
            index=known["index"],
        )
        for reach in ("", "-seq4")
    )

    kept = {pair for pair in whole.edges if abs(int(pair.a) - int(pair.b)) <= 4}
    assert set(near.edges) == kept
    assert 0 < len(kept) < len(whole.edges)


def equal_to_references(folder: Path) -> int:
    """How many reference graphs the mode reproduces when it is given the reference's similarities."""
    content = json.loads((folder / "graph" / "graph.json").read_text(encoding="utf-8"))
    with np.load(folder / "graph" / "sim.npz", allow_pickle=False) as file:
        similarities = dict(file)
    for case in content["retrieval"]:
        names = [f"{i:04d}.jpg" for i in range(case["N"])]
        # as the index may hold them in another order
        order = np.random.default_rng(1).permutation(case["N"])
        shuffled = similarities[f"sim_N{case['N']}"][np.ix_(order, order)]
        index = Scored([names[i] for i in order], shuffled)
        option = f"retrieval.mast3r_sfm_graph=retrieval-{case['Na']}-{case['k']}"
        config = load_config(overrides=["retrieval.mode=mast3r-sfm", option]).retrieval

        graph = build_scene_graph(names, config, index=index, seed=case["np_random_seed"])

        wanted = {Pair.of(names[a], names[b]) for a, b in case["undirected_unique"] if a != b}
        assert set(graph.edges) == wanted, case
    return len(content["retrieval"])


def test_the_mode_gives_the_references_graphs() -> None:
    assert equal_to_references(Path(__file__).parent / "data_graph") == 21


@pytest.mark.shared
def test_the_mode_gives_all_of_the_references_graphs(shared_data: Path) -> None:
    assert equal_to_references(shared_data.parent / "parity") == 56


def test_a_matrix_of_all_similarities_is_refused_where_it_would_be_too_large() -> None:
    names = [f"{i}" for i in range(5001)]
    config = replace(FEW_PAIRS, mode="mast3r-sfm")

    with pytest.raises(RetrievalError, match=r"5000 photos can be and 5001 cannot; use retrieval\.mode"):
        build_scene_graph(names, config)
    assert len(build_scene_graph(names, replace(config, mast3r_sfm_graph="swin-1-noncyclic"))) == 5000


def test_a_retrieval_graph_without_an_index_is_refused() -> None:
    with pytest.raises(RetrievalError, match="needs an index"):
        build_scene_graph(["a", "b"], replace(FEW_PAIRS, mode="mast3r-sfm"))
