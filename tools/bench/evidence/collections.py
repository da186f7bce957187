"""Collections of many kinds with duplicates, all of their pairs as a run matches them, and their false pairs.

    python tools/bench evidence.collections CACHE                                # all kinds, seeds 0 to 2
    python tools/bench evidence.collections CACHE desk room --seeds 3 4 --shuffled
    python tools/bench evidence.collections CACHE fox lego100 --photos DATA      # DATA/<set>, each a kind

Each is rendered and matched once and kept below CACHE; `index.json` there lists them.
"""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import pycolmap
from harness.arguments import program
from harness.one_at_a_time import only_process
from harness.paths import ROOT
from photo_sets.pair_truth import Label, pair_labels

from sfm.mapping.scene.pair_matches import PairMatches

KINDS = (
    "desk", "object", "room", "rows", "symmetric", "wallpaper", "fields", "brick", "stairs", "forest",
    "clutter", "yard",
)  # fmt: skip
TOWNS = {"square": 28, "street": 36, "terraces": 60}
"""Scenes of `tools/render_scene.py` with houses that look alike and hide others: number of photos."""
SEEDS = (0, 1, 2)
_OPTIONS = ("--quiet", "--seed", "0", "backend=sift", "retrieval.mode=exhaustive")


@dataclass(frozen=True, slots=True)
class Entry:
    """A collection of the cache and what is known of its verified pairs."""

    kind: str
    seed: int
    shuffled: bool
    folder: str
    database: str
    photos: int
    true: int
    false: int
    mixed: int


def collection(kind: str, seed: int, *, shuffled: bool, cache: Path) -> Path:
    """The folder of a rendered collection: `images/`, `depth/` and `gt.json`."""
    folder = cache.resolve() / "rendered" / f"{kind}-{seed}{'-shuffled' if shuffled else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    with only_process(folder):
        if not (folder / "gt.json").is_file():  # it is written last
            for left in (folder / "images").glob("*.jpg"):
                left.unlink()
            tools, more = ROOT / "tools", ["--seed", str(seed), *(["--shuffle"] if shuffled else [])]
            script = [str(tools / "render_kind.py"), str(folder), kind]
            if kind in TOWNS:
                scene = ["--scene", kind, "--views", str(TOWNS[kind]), "--depth"]
                script = [str(tools / "render_scene.py"), str(folder), *scene]
            subprocess.run([sys.executable, *script, *more], check=True)
    return folder


def database(folder: Path, cache: Path, *, threads: int = 1) -> Path:
    """All pairs of the collection, matched as in a run; again where the code that matches has changed."""
    out = cache.resolve() / "matched" / folder.name
    command = ["-m", "sfm", "match", str(folder / "images"), "-o", str(out), "--threads", str(threads)]
    subprocess.run([sys.executable, *command, *_OPTIONS], check=True)
    return out / "database.db"


def rendered(kind: str, seed: int, *, shuffled: bool, cache: Path, threads: int = 1) -> Entry:
    """A rendered collection, made if need be, with the labels of its pairs counted."""
    folder = collection(kind, seed, shuffled=shuffled, cache=cache)
    return _entry(kind, folder, cache, threads, seed=seed, shuffled=shuffled)


def photographed(folder: Path, *, cache: Path, threads: int = 1) -> Entry:
    """A set of photos with known poses or labels of its own, which is a kind of its own."""
    return _entry(f"real-{folder.name}", folder, cache, threads)


def _entry(
    kind: str, folder: Path, cache: Path, threads: int, *, seed: int = 0, shuffled: bool = False
) -> Entry:
    path = database(folder, cache, threads=threads)
    matches = PairMatches.read(path)
    count = Counter(pair_labels(folder.name, folder, matches).values())
    labels = count[Label.TRUE], count[Label.FALSE], count[Label.MIXED]
    return Entry(kind, seed, shuffled, str(folder), str(path), len(matches.keypoints), *labels)


def main() -> None:
    """Make what is asked for, keep the index, print a line for each collection."""
    parser = program(__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="by default all")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--shuffled", action="store_true", help="photos numbered in random order")
    parser.add_argument("--photos", type=Path, metavar="DATA", help="folder of the sets that KIND names")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.photos and not options.kinds:
        parser.error(f"name the sets of {options.photos} that are wanted, such as fox")
    sets = [options.photos.resolve() / name for name in options.kinds] if options.photos else []
    if missing := [str(folder) for folder in sets if not (folder / "images").is_dir()]:
        parser.error(f"no folder images in {', '.join(missing)}")
    pycolmap.logging.minloglevel = 2
    cache, threads = options.cache, options.threads
    if sets:
        made = (photographed(folder, cache=cache, threads=threads) for folder in sets)
    else:
        kinds = options.kinds or (*KINDS, *TOWNS)
        made = (
            rendered(kind, seed, shuffled=options.shuffled, cache=cache, threads=threads)
            for seed in options.seeds
            for kind in kinds
        )
    for one in made:
        _list(one, cache / "index.json")
        print(render(one), flush=True)


def render(made: Entry) -> str:
    """One line."""
    verified = made.true + made.false + made.mixed
    share = made.false / max(verified, 1)
    return (
        f"{Path(made.folder).name:20} {made.photos:3} photos, {verified:4} verified pairs: {made.true} true, "
        f"{made.mixed} mixed, {made.false} false ({100 * share:.1f} %)"
    )


def _list(made: Entry, index: Path) -> None:
    """Enter it into the index in place of what was there for it."""
    known = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else []
    kept = [other for other in known if other["folder"] != made.folder]
    fresh = index.with_suffix(".tmp")
    fresh.write_text(json.dumps([*kept, asdict(made)], indent=1) + "\n", encoding="utf-8")
    fresh.replace(index)


if __name__ == "__main__":
    main()
