"""Files that a run writes to be shared, and its verdict."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.config.loading import load_config
from sfm.config.schema import Config, ImagesConfig
from sfm.errors import ConfigError
from sfm.report.verdict import Facts, Verdict
from sfm.workspace.sharing import Sharing, without_folders
from sfm.workspace.workspace import Workspace


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ('"/home/me/trip/photos"', '"…/photos"'),
        ('"/home/me/trip/photos/day 1/a.jpg cannot be read"', '"…/photos/day 1/a.jpg cannot be read"'),
        ('"masks (/home/me/trip/masks) hold none"', '"masks (…/masks) hold none"'),
        ('"/home/me/trips/photos"', '"/home/me/trips/photos"'),
        ('"x/home/me/trip/photos/a.jpg"', '"x/home/me/trip/photos/a.jpg"'),
        ('"/data/out/cache/x: is damaged"', '"…/out/cache/x: is damaged"'),
        (r'"\"/data/out\""', r'"\"…/out\""'),
    ],
)
def test_paths_keep_what_lies_below_the_folders_that_were_named(
    text: str, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/root/of/all")

    assert without_folders(text, [Path("/home/me/trip/photos"), Path("/data/out")]) == shared


def test_the_home_is_nobodys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")

    assert without_folders('"weights in /home/me/.cache/w"', []) == '"weights in …/.cache/w"'


def test_folders_whose_names_json_escapes_are_found(tmp_path: Path) -> None:
    photos = tmp_path / 'a "b" \\ c' / "photos"

    assert without_folders(json.dumps(str(photos)), [photos]) == '"…/photos"'


def test_a_record_beside_its_cache_is_a_configuration_and_elsewhere_asks_for_paths(tmp_path: Path) -> None:
    photos, masks, out = (tmp_path / name for name in ("photos", "masks", "out"))
    config = Config(photos=str(photos), output=str(out), images=ImagesConfig(masks=str(masks)))
    with Workspace(out, source=photos) as space:
        Sharing(space, config).write_record({"config": config})

    written = (out / "run.json").read_text()
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "run.json"
    copy.write_text(written)

    assert str(tmp_path) not in written
    assert load_config(out / "run.json") == config
    with pytest.raises(ConfigError, match=r"images\.masks: only its last part is known \(…/masks\)"):
        load_config(copy)
    given = load_config(copy, overrides=[f"images.masks={masks}"])
    assert (given.photos, given.output, given.images) == (None, None, config.images)


def test_a_damaged_list_of_paths_is_none(tmp_path: Path) -> None:
    with Workspace(tmp_path / "out", source=tmp_path / "photos") as space:
        Sharing(space, Config(photos=str(tmp_path / "photos"))).write_record({"config": Config(photos="…/x")})
    for content in ("{", "[1]", '{"photos": 3}', '{"photos": "not/absolute"}', "[" * 100_000):
        (space.cache / "paths.json").write_text(content)

        assert load_config(space.run_json).photos is None


SOUND = Facts(readable=8, registered=8, num_models=1)


@pytest.mark.parametrize(
    ("facts", "title"),
    [
        (SOUND, "Complete: every photo is in one model"),
        (replace(SOUND, registered=7), "1 photo is not in any model"),
        (replace(SOUND, num_models=2), "Every photo is in, in 2 separate models"),
        (replace(SOUND, in_doubt=1), "Every photo is in one model, 1 of them in doubt"),
        (replace(SOUND, registered=6, in_doubt=2), "2 photos are not in any model, 2 photos in doubt"),
        (
            replace(SOUND, in_doubt=3, ambiguous=True),
            "Every photo is in one model, 3 of them in doubt, it may be folded: places look alike",
        ),
        (
            replace(SOUND, num_models=2, ambiguous=True),
            "Every photo is in, in 2 separate models, places look alike",
        ),
        (
            replace(SOUND, bent=1),
            "Every photo is in one model, it is probably bent",
        ),
        (
            replace(SOUND, num_models=2, bent=1),
            "Every photo is in, in 2 separate models, 1 probably bent",
        ),
        (
            replace(SOUND, unsure=1),
            "Every photo is in one model, it is probably not right everywhere",
        ),
        (
            replace(SOUND, num_models=3, unsure=2, bent=1),
            "Every photo is in, in 3 separate models, 2 probably not right, 1 probably bent",
        ),
        (replace(SOUND, registered=6, unsure=1), "2 photos are not in any model, 1 model probably not right"),
        (
            replace(SOUND, registered=7, num_models=4, unsure=2, bent=1),
            "1 photo is not in any model, 2 models probably not right, 1 model probably bent",
        ),
        (
            replace(SOUND, unsure=1, ambiguous=True),
            "Every photo is in one model, it may be folded: places look alike",
        ),
        (
            replace(SOUND, failed_steps=("report",)),
            "Every photo is in one model, but not all was done: report failed",
        ),
        (replace(SOUND, num_models=0, registered=0), "No model could be built"),
    ],
)
def test_the_headline_names_what_there_is_to_say(facts: Facts, title: str) -> None:
    assert Verdict.of(facts).title == title


@given(
    st.builds(
        Facts,
        *[st.integers(0, 3)] * 4,
        ambiguous=st.booleans(),
        bent=st.integers(0, 1),
        unsure=st.integers(0, 1),
        failed_steps=st.lists(st.just("report")).map(tuple),
    )
)
def test_only_a_run_with_nothing_against_it_is_good(facts: Facts) -> None:
    nothing_against = (
        facts.readable == facts.registered
        and facts.num_models == 1
        and not (facts.in_doubt or facts.ambiguous or facts.bent or facts.unsure or facts.failed_steps)
    )

    assert (Verdict.of(facts).grade == "good") is nothing_against
    assert (Verdict.of(facts).grade == "failed") is (facts.num_models == 0)
