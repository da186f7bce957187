"""Configuration from files, presets and overrides; earlier names."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sfm.config.colmap_options import colmap_options
from sfm.config.loading import PATH_OPTIONS, PATHS_FILE, load_config
from sfm.config.options import Option, internal_tree, schema_tree
from sfm.config.presets import preset_names
from sfm.config.printing import config_as_dict
from sfm.config.renamed import earlier_names
from sfm.config.schema import Config
from sfm.config.values import find_option
from sfm.errors import ConfigError
from sfm.mapping import MIN_NUM_INLIERS

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        path = tmp_path / "c.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def refusal(path: Path | None = None, **sources: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, **sources)  # type: ignore[arg-type]
    return str(caught.value)


def test_nothing_given_is_the_defaults() -> None:
    assert load_config() == Config()


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null\n", "retrieval:\n", "{}"])
def test_an_empty_file_or_section_is_the_defaults(write: Write, text: str) -> None:
    assert load_config(write(text)) == Config()


def test_every_problem_is_reported_at_once_with_line_key_and_nearest_name(write: Write) -> None:
    path = write(
        "retrieval:\n  pairs_per_foto: 5\n  mode: exaustive\nsift:\n  max_num_features: 3\nregistr: {}\n"
    )

    lines = refusal(path).splitlines()

    assert lines[0] == (
        f"{path}:2: retrieval.pairs_per_foto: unknown option (did you mean 'retrieval.pairs_per_photo'?)"
    )
    assert lines[1].startswith(f"{path}:3: retrieval.mode: should be 'retrieval', 'exhaustive'")
    assert lines[1].endswith("(got 'exaustive')")
    assert lines[2] == (f"{path}:5: sift.max_num_features: should be greater than or equal to 16 (got 3)")
    assert lines[3] == f"{path}:6: registr: unknown option (did you mean 'register'?)"
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("num_descriptors: 5\n", "did you mean 'retrieval.num_descriptors'?"),
        ("retrieval.mode: pairs\n", "write `retrieval:` and, indented below, `mode:`"),
        ("photos: a\nphotos: b\n", ":2: photos: given twice (first on line 1)"),
        ("sift:\n  upright: true\n  upright: true\n", "given twice (first on line 2)"),
        ("sift:\n  upright: true\nsift:\n  upright: false\n", ":3: sift: given twice (first on line 1)"),
        (
            f"verify:\n  min_num_inliers: {MIN_NUM_INLIERS - 1}\n",  # pairs that registration never takes
            f"greater than or equal to {MIN_NUM_INLIERS} (got {MIN_NUM_INLIERS - 1})",
        ),
    ],
)
def test_a_key_that_stands_elsewhere_or_twice_is_refused(write: Write, text: str, reason: str) -> None:
    assert reason in refusal(write(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("run: {seed: on}", "run.seed: should be a valid integer (got on)"),
        ("run: {seed: true}", "run.seed: should be a valid integer (got true)"),
        ("run: {seed: 1.5}", "run.seed: should be a valid integer (got 1.5)"),
        ("run: {seed: '1'}", "run.seed: should be a valid integer (got '1')"),
        ("run: {seed: 1:30}", "run.seed: should be a valid integer (got '1:30')"),
        ("run: {seed: null}", "run.seed: should be a valid integer (got null)"),
        ("run: {seed: }", "run.seed: should be a valid integer (got null)"),
        ("run: {seed: -1}", "run.seed: should be greater than or equal to 0 (got -1)"),
        ("run: {seed: 99999999999}", "run.seed: should be at most 2147483647 (got 99999999999)"),
        (f"run: {{seed: {'9' * 6000}}}", "run.seed: should be a valid integer"),
        ("run: {threads: 0}", "run.threads: should be greater than or equal to 1 (got 0)"),
        ("sift: {upright: 1}", "sift.upright: should be a valid boolean (got 1)"),
        ("sift: {upright: maybe}", "sift.upright: should be a valid boolean (got 'maybe')"),
        ("internal: {mast3r: {oracle_wrong_matches: 1.1}}", "should be less than or equal to 1 (got 1.1)"),
        ("verify: {max_error_px: true}", "verify.max_error_px: should be a valid number (got true)"),
        ("verify: {max_error_px: .inf}", "verify.max_error_px: should be a finite number (got .inf)"),
        ("verify: {max_error_px: .nan}", "verify.max_error_px: "),
        ("verify: {max_error_px: [4]}", "verify.max_error_px: should be a single value, found a list"),
        ("photos: {a: b}", "photos: should be a single value, found a group of keys"),
        ("photos: ''", "photos: should be a name or path (got '')"),
        ('photos: "\\0"', "photos: should be a name or path"),
        ('photos: "\\ud800"', "photos: should be a name or path"),
        ("sift: 3", "sift: should hold options, found '3'"),
        ("sift: []", "sift: should hold options, found a list"),
        ("? [a]\n: b", "a key should be a name, found a list"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_value(write: Write, text: str, reason: str) -> None:
    path = write(text + "\n")

    message = refusal(path)

    assert message.startswith(f"{path}:1: ")
    assert reason in message


def test_values_read_as_people_mean_them(write: Write) -> None:
    config = load_config(
        write(
            "verify: {max_error_px: 1e-3}\nsift: {upright: yes}\nrun: {seed: 010}\n"
            "georeference: {sigma_vertical_m: 8}\n"
        )
    )

    assert config.verify.max_error_px == 1e-3
    assert config.sift.upright is True
    assert config.georeference.sigma_vertical_m == 8.0
    assert config.run.seed == 10


def test_a_folder_may_have_a_name_that_looks_like_a_number_or_switch(write: Write) -> None:
    path = write("photos: 2024\noutput: on\n")

    config = load_config(path)

    assert config.photos == str(path.parent / "2024")
    assert config.output == str(path.parent / "on")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sift:\n\tupright: true\n", ":2: not valid YAML: a tab; YAML is indented with spaces"),
        ("sift: {upright: true\n", "not valid YAML"),
        ("a: b: c\n", ":1: not valid YAML"),
        ("- a\n- b\n", ":1: expected lines such as `photos: my/folder`, found a list"),
        ("just words\n", "found 'just words'"),
        ("photos: a\n---\nphotos: b\n", "not valid YAML"),
        ("photos: !!python/object/apply:os.system ['true']\n", "tags (tag:yaml.org"),
        ("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "aliases and anchors"),
        ("x: " + "[" * 5000 + "\n", "nested more than 20 levels deep"),
        ("# " + "x" * 300_000 + "\n", "too large for a configuration"),
    ],
)
def test_hostile_or_broken_yaml_is_refused(write: Write, text: str, reason: str) -> None:
    assert reason in refusal(write(text))


def test_a_flood_of_problems_is_cut(write: Write) -> None:
    lines = refusal(write("".join(f"key{i}: 1\n" for i in range(300)))).splitlines()

    assert len(lines) == 21
    assert lines[-1] == "… and 280 more"


def test_a_missing_file_a_folder_and_a_binary_file_are_refused(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00")

    assert refusal(tmp_path / "none.yaml").endswith("none.yaml: no such file")
    assert "cannot be read" in refusal(tmp_path)
    assert "not a text file" in refusal(photo)


def test_paths_are_relative_to_the_file_that_sets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "configs" / "c.yaml"
    path.write_text("photos: ../photos\nimages: {masks: masks}\nretrieval: {pairs_file: /abs/pairs.txt}\n")
    monkeypatch.chdir(tmp_path / "elsewhere")

    config = load_config(path, overrides=["output=out", "images.cameras_file=~/cameras.txt"])

    assert config.photos == str(tmp_path / "photos")
    assert config.images.masks == str(tmp_path / "configs" / "masks")
    assert config.retrieval.pairs_file == "/abs/pairs.txt"
    assert config.output == str(tmp_path / "elsewhere" / "out")
    assert config.images.cameras_file == str(Path.home() / "cameras.txt")


def test_path_options_are_in_the_schema() -> None:
    known = {o.name for tree in (schema_tree(), internal_tree()) for o in tree.options()}
    assert known >= PATH_OPTIONS


def test_every_option_is_documented() -> None:
    options = [*schema_tree().options(), *internal_tree().options(), *colmap_options().values()]
    assert [option.name for option in options if not option.doc] == []


def test_later_sources_win(write: Write) -> None:
    path = write("sift: {max_num_features: 1000}\nrun: {seed: 1}\n")

    config = load_config(path, preset="fast", overrides=["run.seed=2", "run.seed=3"])

    assert config.sift.max_image_size == load_config(preset="fast").sift.max_image_size
    assert config.sift.max_num_features == 1000
    assert config.run.seed == 3


def test_overrides_are_literal_for_text_and_yaml_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    config = load_config(
        overrides=["photos=a: [b] = c", "sift.upright=true", "verify.max_error_px=7e-1", "run.threads="]
    )

    assert config.photos == str(tmp_path / "a: [b] = c")
    assert config.sift.upright is True
    assert config.verify.max_error_px == 0.7
    assert config.run.threads is None


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("retrieval.mode=foo", "should be 'retrieval'"),
        ("retrieval.mod=pairs", "unknown option (did you mean 'retrieval.mode'?)"),
        ("retrieval=x", "is a section; set one of its options, such as retrieval.mode=…"),
        ("run.seed=[1]", "should be a single value"),
        ("run.seed={", "not a valid value"),
        ("run.seed=on", "should be a valid integer (got 'on')"),
        ("run.seed=", "should be a valid integer (got nothing)"),
        ("run.seed", "expected key=value"),
        ("photos.x=1", "unknown option"),
        ("=1", "unknown option"),
    ],
)
def test_a_wrong_override_is_named(override: str, reason: str) -> None:
    message = refusal(overrides=[override])

    assert message.startswith(f"command line {override!r}: ")
    assert reason in message


def test_problems_of_file_and_command_line_come_together(write: Write) -> None:
    assert len(refusal(write("a: 1\n"), overrides=["b=1", "run.seed=x"]).splitlines()) == 3


def test_run_json_is_accepted_back(tmp_path: Path) -> None:
    config = load_config(preset="accurate", overrides=["photos=φωτο 😀", "verify.max_error_px=1e-7"])
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"versions": {}, "config": config_as_dict(config)}))

    assert load_config(path) == config


def test_a_damaged_run_json_names_the_key(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"config": {"sift": {"upright": 3}, "new": 1}}')

    lines = refusal(path).splitlines()

    assert lines[0].startswith(f"{path}: sift.upright: should be a valid boolean")
    assert lines[1].startswith(f"{path}: new: unknown option")


@pytest.mark.parametrize("name", preset_names())
def test_each_preset_loads_and_differs_only_where_it_says(name: str) -> None:
    config = load_config(preset=name)

    assert (config == Config()) == (name == "default")


def test_the_presets_are_those_promised() -> None:
    for_photos = {"default", "demo", "fast", "accurate", "drone", "internet", "sequence"}
    assert set(preset_names()) == for_photos | {"mast3r-sfm", "scene"}


def test_an_unknown_preset_is_named_with_the_nearest() -> None:
    assert refusal(preset="dron").startswith(
        "no preset 'dron' (did you mean 'drone'?); there are: accurate, "
    )


def test_the_demo_preset_points_at_the_demo_scene(demo_data: Path) -> None:
    assert load_config(preset="demo").photos == str(demo_data / "images")


@pytest.mark.parametrize(("old", "new"), earlier_names().items())
def test_an_earlier_name_is_refused_with_that_of_today(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=f"is now {new}=1$" if new else "is no longer an option"):
        load_config(overrides=[f"{old}=1"])
    assert not new or isinstance(find_option(new), Option)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("register.suspects=trust", "is now register.inconsistent_pairs=trust"),
        ("register.suspects=hold_back", "is now register.inconsistent_pairs=defer"),
        ("register.inconsistent_pairs=hold_back", "'hold_back' is now 'defer'"),
    ],
)
def test_an_earlier_value_is_refused_with_that_of_today(given: str, told: str) -> None:
    with pytest.raises(ConfigError, match=f"{told}$"):
        load_config(overrides=[given])


def test_an_earlier_run_json_says_what_it_said(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    earlier = {
        "sift": {"peak_threshold": 0.02 / 3, "edge_threshold": 12.0, "upright": True},
        "matching": {"max_ratio": 0.8, "guided": True},
        "mast3r": {"oracle": "…/scene", "token_cache_gb": 3.0, "tracks": "naive"},
        "export": {"points_ply": True, "text": True},
        "register": {"filter_max_reproj_error_px": 3.0, "max_rounds": 2},
    }
    path.write_text(json.dumps({"config": earlier, "outcomes": []}), encoding="utf-8")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / PATHS_FILE).write_text(json.dumps({"mast3r.oracle": "/a/scene"}), encoding="utf-8")

    assert load_config(path) == load_config(
        overrides=[
            "colmap.sift_extraction.edge_threshold=12.0",
            "sift.upright=true",
            "colmap.feature_matching.guided_matching=true",
            "internal.mast3r.oracle=/a/scene",
            "internal.mast3r.tracks=naive",
            "export.text=true",
            "colmap.incremental_mapper.filter_max_reproj_error=3.0",
            "register.max_rounds=2",
        ]
    )


def test_an_earlier_run_json_of_defaults_is_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"config": {"matching": {"max_ratio": 0.8}, "register": {"guided": true}}}')

    assert load_config(path) == Config()
