"""Sheets and pages of names of every kind."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import networkx as nx
import pytest
from PIL import Image

from retrieval import Edge, Pair, Reason
from sfm.colmap.database import PairRecord
from sfm.pairs.pair_states import PairState
from sfm.pairs.queries import Answer, Found
from sfm.report.contact_sheet import note, write_contact_sheet
from sfm.report.graph import INK, graph_picture
from sfm.report.graph_files import write_graphml, write_svg
from sfm.report.thumbnails import thumbnail_uris
from tests.report.browser import open_page

HOSTILE = ("<script>console.log(1)</script>.jpg", '" onload="x.jpg', "ü ф 日.jpg", "a&b;]]>.jpg")
FITS = PairState(Edge(0.2, Reason.KNN), PairRecord(60, 44, "CALIBRATED"))
REFUSED = PairState(Edge(0.1, Reason.UNREGISTERED, 1), PairRecord(9, 0, "DEGENERATE"))
WAITING = PairState(Edge(0.1, Reason.USER), None)


def answer(found: tuple[Found, ...], picture: Path, descriptors: int | None = None) -> Answer:
    return Answer("given", HOSTILE[0], descriptors, found, picture, {hit.name: picture for hit in found})


def test_hostile_names_stay_text_and_missing_pictures_leave_a_blank(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "red").save(tmp_path / "there.jpg")
    states = (FITS, REFUSED, WAITING, None)
    found = tuple(
        Found(i + 1, name, 0.5 / 10**i, state)
        for i, (name, state) in enumerate(zip(HOSTILE, states, strict=True))
    )
    answers = [answer(found, tmp_path / "there.jpg"), answer(found[:1], tmp_path / "gone.jpg", 300)]

    path = write_contact_sheet(tmp_path, answers, num_photos=5, top=4, has_graph=True)

    page = open_page(path, tmp_path / "profile")
    assert page.console == ()
    assert page.dom.count("<script") == 0
    for words in ("verified, 44 inliers", "matched, refused", "proposed (user)", "not in the scene graph"):
        assert words in page.dom
    assert "1 verified · 1 refused · 1 proposed · 1 not in the scene graph" in page.dom
    assert page.dom.count("no picture") == 2
    assert "300 descriptors" in page.dom


@pytest.mark.parametrize(
    ("hits", "descriptors", "top", "words"),
    [
        (0, 0, 20, "no features"),
        (0, None, 20, "None of the 4 other photos"),
        (2, None, 3, "Only 2 of 4 photos"),
        (2, 50, 3, "Only 2 of 5 photos"),
        (4, None, 20, "all 4 photos"),
        (1, None, 3, "Only 1 of 4 photos has anything"),
        (4, None, 4, ""),
        (3, None, 3, ""),
    ],
)
def test_fewer_photos_than_asked_for_are_explained(
    hits: int, descriptors: int | None, top: int, words: str
) -> None:
    found = tuple(Found(i + 1, f"{i}.jpg", 0.1, None) for i in range(hits))

    said = note(answer(found, Path("gone.jpg"), descriptors), num_photos=5, top=top)

    assert words in said
    assert bool(words) == bool(said)


@pytest.mark.parametrize(
    ("hits", "words"),
    [(0, "The only other photo has nothing in common with it."), (1, "There is no other photo.")],
)
def test_one_other_photo_is_spoken_of_as_one(hits: int, words: str) -> None:
    found = tuple(Found(1, "other.jpg", 0.5, None) for _ in range(hits))

    assert note(answer(found, Path("gone.jpg")), num_photos=2, top=20) == words


def test_any_name_is_a_node_in_graphml_and_svg(tmp_path: Path) -> None:
    names = (*HOSTILE, "line\nbreak\x01.jpg")
    pairs = {Pair.of(names[0], names[1]): FITS, Pair.of(names[1], names[4]): REFUSED}
    pairs[Pair.of(names[2], names[3])] = WAITING

    write_graphml(tmp_path / "g.graphml", names, pairs, {names[0]: 0})
    write_svg(
        tmp_path / "g.svg",
        graph_picture(pairs, names, []),
        title=names[0],
        subtitle="",
        bridges=[Pair.of(names[0], names[1])],
    )

    graph = nx.read_graphml(tmp_path / "g.graphml")
    assert set(graph) == {*HOSTILE, "line%0Abreak%01.jpg"}
    assert graph.nodes[names[0]] == {"model": 0, "verified_pairs": 1}
    edge = graph.edges[names[2], names[3]]
    assert (edge["reason"], edge["matched"], edge["geometry"]) == ("user", False, "")
    drawing = ElementTree.parse(tmp_path / "g.svg").getroot()
    titles = [title.text for title in drawing.findall(".//{*}circle/{*}title")]
    assert titles == [*HOSTILE, "line%0Abreak%01.jpg"]
    # a line of the legend and one of the drawing for each kind of pair, and for the only link
    assert len(drawing.findall(".//{*}path")) == 2 * (3 + 1)


def test_every_reason_has_a_colour() -> None:
    assert set(INK) == {str(reason) for reason in Reason}


@pytest.mark.parametrize("name", ["{elsewhere}/private.jpg", "../elsewhere/private.jpg"])
def test_a_name_that_leads_elsewhere_has_no_thumbnail(tmp_path: Path, name: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for folder in ("images", "elsewhere"):
        Image.new("RGB", (64, 64)).save(tmp_path / folder / "private.jpg")

    names = [name.format(elsewhere=tmp_path / "elsewhere"), "private.jpg"]
    elsewhere, own = thumbnail_uris(names, {}, tmp_path / "images")

    assert elsewhere == ""
    assert own.startswith("data:image/jpeg")
