"""Render a collection of one kind in which things are there twice, or of a turntable, with poses and depth.

python tools/render_kind.py OUT desk --seed 3            # equal boxes among other things on a table
python tools/render_kind.py OUT turntable --seed 1       # a small thing that turns before a camera at rest
python tools/render_kind.py OUT stairs --seed 1 --shuffle  # numbered in an order by chance
python tools/render_kind.py OUT room --seed 81 --video     # 72 frames of one who turns about
"""

import argparse
from pathlib import Path

from synthetic import write_dataset
from synthetic.kinds import KINDS, SIZE, plan_kind, plan_video
from synthetic.turntable import KIND as TURNTABLE
from synthetic.turntable import turntable


def main() -> None:
    """Parse the command line and render."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for images/, depth/ and gt.json; without images yet")
    parser.add_argument("kind", choices=(*KINDS, TURNTABLE))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--views", type=int, help="number of photos; by default 20 to 45, of a video 72")
    parser.add_argument("--width", type=int, default=SIZE[0], help="px")
    parser.add_argument("--video", action="store_true", help="frames of one way, with a rolling shutter")
    parser.add_argument("--shuffle", action="store_true", help="number the photos in random order")
    options = parser.parse_args()
    if (options.out / "images").exists() and any((options.out / "images").iterdir()):
        parser.error(f"{options.out / 'images'} already holds files; give an empty folder")
    if options.kind == TURNTABLE:
        if options.shuffle or options.video:
            parser.error("a turntable has its own order of photos: leave out --shuffle and --video")
        photos = turntable(options.seed, views=options.views, width=options.width)
    elif options.video:
        if options.shuffle:
            parser.error("frames of a video are numbered in the order in which they are taken")
        photos = plan_video(options.kind, options.seed, views=options.views, width=options.width)
    else:
        photos = plan_kind(
            options.kind, options.seed, shuffled=options.shuffle, views=options.views, width=options.width
        )
    write_dataset(photos, options.out, seed=options.seed, with_depth=True)


if __name__ == "__main__":
    main()
