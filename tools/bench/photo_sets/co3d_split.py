"""The test sequences of CO3D over which papers take their means.

The split is RelPose's, as PoseDiffusion, VGGT and those after them use it: sequences with test frames in
`CATEGORY/set_lists/set_lists_fewview_dev.json`, 50 or more, and a quality of viewpoints above 0.5 in
`CATEGORY/sequence_annotations.jgz`; 41 categories are `seen` (they were trained on), 10 `unseen`. Source: the
annotation and dataset scripts of RelPose++ and of PoseDiffusion. Two filters of theirs are left out: frames
with an empty mask count here, and sequences with absurd translations stay in.
"""

import json
from collections import Counter
from pathlib import Path

from photo_sets.co3d import read_annotations
from sfm.errors import InputError

SET_LIST = "set_lists/set_lists_fewview_dev.json"
SEQUENCES = "sequence_annotations.jgz"
MIN_QUALITY = 0.5
MIN_FRAMES = 50
# fmt: off
CATEGORIES = {
    "seen": (
        "apple", "backpack", "banana", "baseballbat", "baseballglove", "bench", "bicycle", "bottle", "bowl",
        "broccoli", "cake", "car", "carrot", "cellphone", "chair", "cup", "donut", "hairdryer", "handbag",
        "hydrant", "keyboard", "laptop", "microwave", "motorcycle", "mouse", "orange", "parkingmeter",
        "pizza", "plant", "stopsign", "teddybear", "toaster", "toilet", "toybus", "toyplane", "toytrain",
        "toytruck", "tv", "umbrella", "vase", "wineglass",
    ),
    "unseen": (
        "ball", "book", "couch", "frisbee", "hotdog", "kite", "remote", "sandwich", "skateboard", "suitcase",
    ),
}
# fmt: on


def co3d_split(root: Path, group: str) -> list[str]:
    """`CATEGORY/SEQUENCE` of the test sequences of `seen` or `unseen`; nothing for another group.

    Raises:
        InputError: a category is not there, or its lists are missing or malformed; names it.
    """
    categories = CATEGORIES.get(group, ())
    if missing := [category for category in categories if not (root / category).is_dir()]:
        raise InputError(
            f"{root} lacks {len(missing)} of the {len(categories)} categories {group}: {', '.join(missing)}",
            hint="download them, or name single sequences, CATEGORY/SEQUENCE",
        )
    return [f"{category}/{name}" for category in categories for name in _test_sequences(root / category)]


def _test_sequences(category: Path) -> list[str]:
    counts = Counter(name for name, *_ in _test_frames(category / SET_LIST))
    good = _good_sequences(category / SEQUENCES)
    return sorted(name for name, count in counts.items() if count >= MIN_FRAMES and name in good)


def _test_frames(file: Path) -> list[list[object]]:
    """`[SEQUENCE, FRAME, PATH]` of each test frame."""
    try:
        frames = json.loads(file.read_text(encoding="utf-8"))["test"]
    except FileNotFoundError as error:
        raise InputError(f"{file} is missing", hint="unpack the set lists of the category") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{file} is no set list of CO3D with 'test': {error!r}") from error
    if not isinstance(frames, list) or not all(isinstance(frame, list) and frame for frame in frames):
        raise InputError(f"{file}: expected 'test' to be a list of [SEQUENCE, FRAME, PATH]")
    return frames


def _good_sequences(file: Path) -> set[str]:
    try:
        return {
            str(entry["sequence_name"])
            for entry in read_annotations(file)
            if (entry["viewpoint_quality_score"] or 0.0) > MIN_QUALITY
        }
    except (KeyError, TypeError) as error:
        raise InputError(f"{file}: a sequence is malformed: {error!r}") from error
