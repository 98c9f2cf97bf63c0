#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

"""Speed of a training's reading from shards beside that from single files, with a cold page cache.

shards.py LTRP FOLDER [--photos 100000] [--side 96] [--rounds 5]

Makes small JPEGs (once) and shards of them in FOLDER, and trains a network of next to no size on both in turn for one
epoch each, --rounds times. The page cache is emptied before each (root). Prints the images per second of whole
commands, start and end included, and the median ratio. Needs OpenCV's Python package and NumPy.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

NETWORK = ["--size", "16", "--patch", "8", "--embed-dim", "8", "--depth", "1", "--heads", "1", "--decoder-embed-dim", "8",
           "--decoder-depth", "1", "--decoder-heads", "1", "--batch", "100", "--accumulate", "1", "--threads", "1",
           "--cache-mb", "0", "--seed", "1"]


def make_photos(folder: Path, count: int, side: int) -> None:
    import cv2
    import numpy as np
    random = np.random.default_rng(1)
    for i in range(count):
        part = folder / f"{i // 1000:04d}"
        part.mkdir(parents=True, exist_ok=True)
        coarse = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        photo = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        noise = random.integers(0, 24, photo.shape, dtype=np.uint8)
        if not cv2.imwrite(str(part / f"{i:06d}.jpg"), cv2.add(photo, noise)):
            sys.exit(f"{part}: cannot be written")


def empty_cache() -> None:
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def seconds(ltrp: str, data: Path, out: Path) -> float:
    shutil.rmtree(out, ignore_errors=True)
    empty_cache()
    start = time.monotonic()
    subprocess.run([ltrp, "pretrain", str(data), "--out", str(out), "--epochs", "1", *NETWORK], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ltrp")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=100000)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    files, shards = options.folder / f"files-{options.photos}-{options.side}", options.folder / "shards"
    if not files.exists():
        partial = files.with_suffix(".part")
        shutil.rmtree(partial, ignore_errors=True)
        make_photos(partial, options.photos, options.side)
        partial.rename(files)
    shutil.rmtree(shards, ignore_errors=True)
    subprocess.run([options.ltrp, "pack", str(files), "--out", str(shards)], check=True)
    ratios = []
    for number in range(options.rounds):
        by_file = seconds(options.ltrp, files, options.folder / "out")
        by_shard = seconds(options.ltrp, shards, options.folder / "out")
        ratios.append(by_file / by_shard)
        print(f"round {number + 1}: files {options.photos / by_file:.0f}/s, shards {options.photos / by_shard:.0f}/s, "
              f"ratio {ratios[-1]:.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
