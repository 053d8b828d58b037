"""What other views of a photograph bring, on photographs of one shape and of mixed ones.

    python tests/benchmarks/framings.py crops DATA OUT 0    # a copy of DATA, cropped by draw 0
    extract --split all --layers multi --data OUT --out A   # and B with --views frame, and so on
    python tests/benchmarks/framings.py compare A B ... [--ways 3,4,5] [--heads emd,ridge]

`crops` cuts each photograph to one of five proportions (2:3, 1:1, 5:4, 16:9, 5:2), by its name and
the number of the draw, and keeps its votes, which were of all of it: features are compared, no
score is true. One draw says little: see RESULTS.md. `compare` prints
each head's SRCC and EMD in 5 folds of each way, and the paired difference from the first folder
with its 95 % interval. Nothing is asserted: a number is no test.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from pathlib import Path

PROPORTIONS = (2 / 3, 1.0, 5 / 4, 16 / 9, 5 / 2)


def crops(data: Path, out: Path, draw: int) -> None:
    """Write the middle of each photograph of DATA, of the proportions that its name draws."""
    from PIL import Image

    (out / "images").mkdir(parents=True)
    shutil.copy(data / "labels.csv", out)
    for path in sorted((data / "images").iterdir()):
        drawn = int(hashlib.sha256(f"{draw}images/{path.name}".encode()).hexdigest(), 16) % len(
            PROPORTIONS
        )
        image = Image.open(path).convert("RGB")
        width = min(image.width, round(image.height * PROPORTIONS[drawn]))
        height = min(image.height, round(image.width / PROPORTIONS[drawn]))
        left, top = (image.width - width) // 2, (image.height - height) // 2
        box = (left, top, left + width, top + height)
        image.crop(box).save(out / "images" / path.name, "JPEG", quality=95)


def compare(folders: list[Path], ways: list[int], heads: list[str]) -> None:
    """Print each folder's figures, and its differences from the first."""
    from heads.data.splits import load_splits
    from heads.experiments.folds import fold, pooled, predict_folds
    from heads.metrics.comparison import Sample, contest
    from heads.models.registry import HEADS

    pools = {folder.name: pooled(load_splits(folder), None, None) for folder in folders}
    for way in ways:
        for head in heads:
            first: tuple[str, Sample] | None = None
            for name, pool in pools.items():
                folds, settings = fold(pool.labels, 5, way), HEADS[head].default_settings
                predicted = predict_folds(head, settings, pool, folds, seed=0)
                measured = name, Sample.of(predicted, pool.labels)
                first = first or measured
                print(way, head, name, end="")
                for each in contest(measured, first, ("srcc", "emd_r2")):
                    value = measured[1].bootstrap.values[each.metric]
                    print(f"  {each.metric} {value:.4f}", end=" ")
                    print(f"{each.difference:+.4f} [{each.lo:+.4f}, {each.hi:+.4f}]", end="")
                print(flush=True)


def main() -> None:
    """Make the crops, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("crops")
    making.add_argument("data", type=Path)
    making.add_argument("out", type=Path)
    making.add_argument("draw", type=int)
    comparing = commands.add_parser("compare")
    comparing.add_argument("folders", type=Path, nargs="+")
    comparing.add_argument("--ways", default="3,4,5")
    comparing.add_argument("--heads", default="emd,ridge-dist,ridge")
    options = parser.parse_args()
    if options.command == "crops":
        crops(options.data, options.out, options.draw)
    else:
        ways = [int(way) for way in options.ways.split(",")]
        compare(options.folders, ways, options.heads.split(","))


if __name__ == "__main__":
    main()
