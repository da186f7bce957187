"""`sfm retrieve --query` and `sfm graph` on photos of the rendered scene, as a user calls them."""

import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from PIL import Image

from retrieval import Pair
from sfm.colmap.database import FeatureDatabase
from tests.faults.killing import Killer
from tests.report.browser import open_page

from .command import sfm_command

SMALL = ("--threads", "2", "sift.max_image_size=320", "sift.max_num_features=600")


def search(out: Path, *arguments: str | Path) -> dict:
    done = sfm_command("retrieve", "-o", out, "--json", "-q", *arguments)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def found(answer: dict) -> list[str]:
    return [hit["name"] for hit in answer["found"]]


@pytest.fixture(scope="module")
def all_photos(demo_data: Path) -> list[Path]:
    """Photos of a ring of cameras, in order."""
    return sorted((demo_data / "images").iterdir())


@pytest.fixture(scope="module")
def photos(all_photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight of them; the second isn't one of these."""
    folder = tmp_path_factory.mktemp("collection") / "photos"
    (folder / "sub").mkdir(parents=True)
    for path in [all_photos[0], *all_photos[2:8]]:
        shutil.copy(path, folder)
    shutil.copy(all_photos[8], folder / "sub" / "last one.jpg")
    return folder


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    few = ("retrieval.exhaustive_max_photos=0", "retrieval.pairs_per_photo=1.5", "register.max_rounds=0")
    done = sfm_command("run", photos, "-o", out, *SMALL, *few, "export.report=false")
    assert done.exit_code == 0, done.stderr
    return out


def test_a_photo_of_the_collection_by_path_by_name_and_by_content(
    photos: Path, finished: Path, all_photos: list[Path], tmp_path: Path
) -> None:
    copy = shutil.copy(all_photos[8], tmp_path / "holiday.dat")
    names = (photos / "sub" / "last one.jpg", "sub/last one.jpg", "last one.jpg", copy)

    result = search(finished, *(f"--query={name}" for name in names), "--top", "3")

    assert [answer["name"] for answer in result["queries"]] == ["sub/last one.jpg"] * 4
    assert all(answer["in_collection"] for answer in result["queries"])
    assert len({tuple(found(answer)) for answer in result["queries"]}) == 1
    # The neighbours on the ring are most alike.
    assert found(result["queries"][0])[0] == all_photos[7].name
    assert len(found(result["queries"][0])) == 3


def test_hits_tell_what_became_of_the_pair_and_nothing_is_computed_again(finished: Path) -> None:
    records = FeatureDatabase(finished / "database.db", read_only=True).pairs()
    name = "photo_05.jpg"

    (answer,) = search(finished, "--query", name, "--top", "50")["queries"]

    assert FeatureDatabase(finished / "database.db", read_only=True).pairs() == records
    assert len({*found(answer), name}) == len(found(answer)) + 1
    for hit in answer["found"]:
        record = records.get(Pair.of(name, hit["name"]))
        assert hit["matched"] == hit["in_scene_graph"] == (record is not None)
        assert hit["num_inliers"] == (record.num_inliers if record and record.verified else 0)
    assert any(hit["verified"] for hit in answer["found"])
    assert not all(hit["matched"] for hit in answer["found"])


def test_a_photo_that_is_not_in_the_index_finds_its_neighbours_and_leaves_no_trace(
    finished: Path, all_photos: list[Path]
) -> None:
    images = FeatureDatabase(finished / "database.db", read_only=True).image_ids()

    (answer,) = search(finished, "--query", all_photos[1])["queries"]

    assert not answer["in_collection"]
    assert set(found(answer)[:2]) == {all_photos[0].name, all_photos[2].name}
    assert FeatureDatabase(finished / "database.db", read_only=True).image_ids() == images
    assert not list((finished / "cache" / "scratch").iterdir())


def test_the_reference_engine_answers_alike(finished: Path, all_photos: list[Path]) -> None:
    pytest.importorskip("asmk")
    asked = ("--query", "photo_05.jpg", "--query", all_photos[1])

    ours, theirs = search(finished, *asked), search(finished, *asked, "retrieval.engine=asmk")

    for one, other in zip(ours["queries"], theirs["queries"], strict=True):
        assert found(one) == found(other)
        scores = [[hit["score"] for hit in answer["found"]] for answer in (one, other)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_the_list_and_the_sheet_show_the_same(finished: Path, all_photos: list[Path], tmp_path: Path) -> None:
    done = sfm_command("retrieve", "-o", finished, "--query", "photo_05.jpg", "--query", all_photos[1])

    page = open_page(finished / "query.html", tmp_path / "profile")
    assert page.console == ()
    assert f"sheet       {finished / 'query.html'}" in done.stdout
    assert "photo_05.jpg\n     1  0." in done.stdout
    assert "verified, " in done.stdout
    assert "(not in the collection, " in done.stdout
    assert "These are all 7 photos." in done.stdout  # 20 were asked for
    assert page.dom.count('<li class="card') == 7 + 8
    assert page.dom.count("data:image/jpeg") == 2 + 7 + 8
    assert "http" not in page.dom.replace("http-equiv", "")


@pytest.mark.parametrize(
    "option",
    ["sift.max_num_features=500", pytest.param("colmap.sift_matching.max_ratio=0.7", marks=pytest.mark.slow)],
)
def test_a_search_with_other_options_keeps_the_pairs_that_a_run_matched(
    photos: Path, finished: Path, option: str, tmp_path: Path
) -> None:
    records = FeatureDatabase(finished / "database.db", read_only=True).pairs()
    asked = ("retrieve", photos, "--query", "photo_05.jpg", *SMALL, option)

    done = sfm_command(*asked, "-o", finished)

    assert done.exit_code == 5
    assert f"holds {len(records)} matched pairs of other options" in done.stderr
    assert FeatureDatabase(finished / "database.db", read_only=True).pairs() == records
    assert sfm_command(*asked, "-o", tmp_path / "elsewhere").exit_code == 0
    assert sfm_command(*asked, "-o", tmp_path / "elsewhere", "sift.upright=true").exit_code == 0


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("nowhere.jpg", ("nowhere.jpg: no such file, and no photo",)),
        (".jpg", ("could be any of", "give more of the name")),
        (".", (". is a folder",)),
        ("text.jpg", ("text.jpg cannot be used as a query: a text file",)),
        ("empty.png", ("empty.png cannot be used as a query: the file is empty",)),
        ("half.jpg", ("half.jpg cannot be used as a query: truncated",)),
    ],
)
def test_queries_that_cannot_be_asked_are_named(
    finished: Path,
    all_photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "empty.png").touch()
    whole = all_photos[0].read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])

    done = sfm_command("retrieve", "-o", finished, "--query", query)

    assert done.exit_code == 3
    assert all(word in done.stderr for word in words), done.stderr
    assert not list((finished / "cache" / "scratch").iterdir())


@pytest.mark.parametrize("pattern", ["segment-*", "index.json", "photos.json"])
def test_a_damaged_index_is_named_and_made_again(
    finished: Path, pattern: str, kill: Killer, tmp_path: Path
) -> None:
    expected = search(finished, "--query", "photo_05.jpg")
    (index,) = (finished / "cache" / "index").glob(f"*/{pattern}")
    content = index.read_bytes()
    index.write_bytes(content[: len(content) // 2])

    # in a process of its own, whose standard error is the user's
    code, _ = kill.run(tmp_path, "retrieve", "-o", finished, "--query", "photo_05.jpg", "--json")

    said = (tmp_path / "said.txt").read_text()
    assert code == 0
    assert f"the retrieval index is made again: {index}" in said
    assert json.loads(said[said.index("{\n") :]) == expected


def test_a_blank_query_finds_nothing_and_says_why(finished: Path, tmp_path: Path) -> None:
    Image.new("RGB", (640, 480), (90, 90, 90)).save(tmp_path / "blank.png")

    done = sfm_command("retrieve", "-o", finished, "--query", tmp_path / "blank.png")

    assert done.exit_code == 0
    assert "0 descriptors)\n  It has no features" in done.stdout


def test_top_alone_and_top_zero_are_refused(finished: Path) -> None:
    assert "there is no --query" in sfm_command("retrieve", "-o", finished, "--top", "5").stderr
    assert sfm_command("retrieve", "-o", finished, "--query", "a", "--top", "0").exit_code == 2


def test_the_graph_of_a_finished_run(finished: Path) -> None:
    plain, record = sfm_command("graph", finished), sfm_command("graph", finished, "--json")

    records = FeatureDatabase(finished / "database.db", read_only=True).pairs()
    figures = json.loads(record.stdout)
    assert plain.exit_code == record.exit_code == 0
    share = f"{100 * len(records) / 28:.0f} % of all pairs"
    assert f"pairs       {len(records)} proposed ({share}), {len(records)} matched, " in plain.stdout
    assert f"graph       {finished / 'graph.graphml'}" in plain.stdout
    assert figures["total"]["verified"] == sum(pair.verified for pair in records.values())
    graph = nx.read_graphml(finished / "graph.graphml")
    assert len(graph) == 8
    assert {Pair.of(*edge) for edge in graph.edges} == set(records)
    for a, b, edge in graph.edges(data=True):
        assert (edge["matches"], edge["verified"]) == (
            records[Pair.of(a, b)].num_matches,
            records[Pair.of(a, b)].verified,
        )
        assert edge["reason"] in figures["reasons"]
    assert nx.get_node_attributes(graph, "model")["photo_05.jpg"] == 0
    drawing = ElementTree.parse(finished / "graph.svg").getroot()
    assert len(drawing.findall(".//{*}circle")) == 8


def test_the_graph_of_a_run_that_came_as_far_as_its_pairs(photos: Path, tmp_path: Path) -> None:
    few, out = tmp_path / "few", tmp_path / "out"
    few.mkdir()
    for path in sorted(photos.glob("*.jpg"))[:4]:
        shutil.copy(path, few)
    mode = ("retrieval.mode=sequential", "retrieval.loop_detection=false", "retrieval.sequential_overlap=1")
    proposed = sfm_command("retrieve", few, "-o", out, *SMALL, *mode, "--json")
    early = json.loads(sfm_command("graph", out, "--json", "-o", tmp_path / "there").stdout)
    sfm_command("match", few, "-o", out, *SMALL, *mode)
    later = json.loads(sfm_command("graph", out, "--json").stdout)

    count = json.loads(proposed.stdout)["reasons"]["sequence"]
    assert early["total"] == {"proposed": count, "matched": 0, "verified": 0}
    assert (tmp_path / "there" / "graph.svg").is_file()
    assert len(early["unlinked"]) == 4
    assert later["reasons"]["sequence"]["matched"] == count


@pytest.mark.parametrize(("folder", "why"), [("file", "it is a file"), ("file/sub", "not a directory")])
def test_a_graph_that_cannot_be_written_there_says_why(
    finished: Path, tmp_path: Path, folder: str, why: str
) -> None:
    (tmp_path / "file").write_text("the user's")

    done = sfm_command("graph", finished, "-o", tmp_path / folder)

    assert done.exit_code == 5
    assert f"{tmp_path / folder} cannot be used as output: {why}" in done.stderr
    assert (tmp_path / "file").read_text() == "the user's"


def test_a_folder_without_a_run_has_no_graph(tmp_path: Path) -> None:
    done = sfm_command("graph", tmp_path)

    assert done.exit_code == 3
    assert "no database there" in done.stderr
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "database.db").write_text("not a database")
    assert sfm_command("graph", tmp_path).exit_code == 5


def written(folder: Path, pictures: list[np.ndarray]) -> Path:
    folder.mkdir()
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def collections() -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (120, 160, 3)) for _ in range(5)]
    blank = [np.full((120, 160, 3), 40 * i) for i in range(5)]
    identical = [noise[0].copy() for _ in range(5)]
    for number, pixels in enumerate(identical):
        pixels[0, 0] = number  # the files must differ, or only one would be kept
    y, x = np.mgrid[:120, :160]
    # A ramp gives the spot one orientation, so that it is one keypoint and not several.
    spots = [60 * np.exp(-((x - 73 - 3 * i) ** 2 + (y - 60) ** 2) / 150) + 0.7 * x for i in range(5)]
    blobs = [np.round(spot)[..., None].repeat(3, 2) for spot in spots]
    return {"identical": identical, "unrelated": noise, "blank": blank, "one feature": blobs}


@pytest.mark.parametrize("kind", ["identical", "unrelated", "blank", "one feature"])
@pytest.mark.parametrize("options", [(), ("retrieval.mode=mast3r-sfm", "retrieval.num_descriptors=1")])
def test_collections_that_retrieval_can_say_little_of(
    tmp_path: Path, kind: str, options: tuple[str, ...]
) -> None:
    photos = written(tmp_path / "photos", collections()[kind])
    common = ("-o", tmp_path / "out", "--threads", "2", "retrieval.exhaustive_max_photos=0", *options)

    proposed = sfm_command("retrieve", photos, *common, "--json")
    asked = sfm_command("retrieve", photos, *common, "--query", "0.png", "--top", "99", "--json")

    assert proposed.exit_code == asked.exit_code == 0, proposed.stderr + asked.stderr
    graph, (answer,) = json.loads(proposed.stdout), json.loads(asked.stdout)["queries"]
    if kind == "identical":
        assert graph["components"] == 1
        assert min(hit["score"] for hit in answer["found"]) > 0.9
    if kind == "unrelated":
        assert all(hit["score"] < 0.2 for hit in answer["found"])
    if kind == "blank":
        assert answer["found"] == []
        assert options or graph["pairs"] == 0
    if kind == "one feature":
        # one spot each, which may have a second orientation
        counts = FeatureDatabase(tmp_path / "out" / "database.db").num_keypoints().values()
        assert 1 in counts
        assert max(counts) <= 2
        assert graph["photos"] == 5


def test_no_pair_at_all_is_spoken_of_as_such(tmp_path: Path) -> None:
    photos = written(tmp_path / "photos", collections()["blank"])

    done = sfm_command(
        "retrieve", photos, "-o", tmp_path / "out", "--threads", "2", "retrieval.exhaustive_max_photos=0"
    )

    assert "pairs       0 of 5 photos\nconnected   5 pieces\n" in done.stdout


@pytest.mark.parametrize("kind", ["identical", "blank"])
def test_collections_without_a_model_end_as_such_and_have_a_graph(tmp_path: Path, kind: str) -> None:
    photos = written(tmp_path / "photos", collections()[kind])

    done = sfm_command(
        "run", photos, "-o", tmp_path / "out", "--threads", "2", "retrieval.exhaustive_max_photos=0"
    )
    graph = sfm_command("graph", tmp_path / "out", "--json")

    assert done.exit_code == 6, done.stderr
    assert "error: No model: " in done.stderr
    assert graph.exit_code == 0
    assert len(json.loads(graph.stdout)["unlinked"]) == (0 if kind == "identical" else 5)
