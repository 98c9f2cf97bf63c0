#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Judges the sample roi_jpeg at equal size: PSNR and SSIM of the luma inside and outside of foreground masks.

Each photo becomes a plain JPEG and, with no more bytes, one with a higher quality in the patches kept: those of the
ranking, as many nearest the centre, and as many with most foreground. Where the kept patches alone need more bytes,
the plain JPEG counts. Prints means over the photos and differences from plain, with 95 % intervals (bootstrap).
Needs numpy and OpenCV's Python package.

    tests/bench/roi_jpeg_quality.py build/bin/ltrp images/ foreground/
"""
import argparse
import json
import multiprocessing
import subprocess
import sys
import types
from pathlib import Path

import cv2
import numpy as np

from roi_encoders import run, ssim_map

SAMPLES = Path(__file__).resolve().parents[2] / "modules" / "ltrp" / "samples"
NAMES = ["PSNR inside", "outside", "all", "SSIM inside", "outside", "all"]


def coder():
    """The sample's coder; its ranking, which wants the Python package, is not used."""
    if "roi_jpeg" in sys.modules:
        return sys.modules["roi_jpeg"]
    tools = types.ModuleType("sample_tools")
    for name in ("INTERRUPTED", "Progress", "add_common", "catch_interrupt", "create_ranker", "ltrp", "read_image",
                 "run", "select_params", "write_bytes"):
        setattr(tools, name, None)
    tools.interrupted = lambda: False
    sys.modules["sample_tools"] = tools
    sys.path.insert(0, str(SAMPLES))
    import roi_jpeg
    return roi_jpeg


class Silent:
    def step(self, _):
        pass


def roi_bytes(sample, photo, kept, quality, boost, limit):
    """As main() of the sample; None: cannot be done."""
    thinner, inside = sample.Thinner(photo, kept), min(98, quality + boost)
    while inside > quality:
        data = sample.fit_into(thinner, inside, limit, Silent())
        if data is not None:
            return data
        inside -= max(1, (inside - quality) // 4)
    return None


def figures(photo, data, mask):
    a, b = (cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)[:, :, 0]
            for image in (photo, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)))
    square, ssim = (a.astype(np.float64) - b) ** 2, ssim_map(a, b)
    where = (mask, ~mask, np.ones_like(mask))
    return ([10 * np.log10(255 ** 2 / max(1e-10, square[region].mean())) for region in where]
            + [ssim[region].mean() for region in where])


def judge_photo(job):
    """Of each choice of patches: the share of the plain JPEG's bytes, its figures; None: not possible."""
    ranking, masks, quality, boost = job
    cv2.setNumThreads(1)
    path = Path(ranking["image"])
    photo, mask = cv2.imread(str(path)), cv2.imread(str(masks / (path.stem + ".png")), cv2.IMREAD_GRAYSCALE)
    if photo is None or mask is None or photo.shape[:2] != mask.shape:
        sys.exit(f"{path}: not a photo with a mask of its size")
    mask = mask > 127
    if mask.all() or not mask.any():
        return None
    columns, lines = ranking["grid"]
    y, x = np.mgrid[:lines, :columns]
    far = (x - (columns - 1) / 2) ** 2 + (y - (lines - 1) / 2) ** 2
    share = cv2.resize(mask.astype(np.float32), (columns, lines), interpolation=cv2.INTER_AREA)
    count = len(ranking["keep"])
    choices = {"ranking": ranking["keep"], "centre": np.argsort(far, axis=None, kind="stable")[:count],
               "the masks themselves": np.argsort(-share, axis=None, kind="stable")[:count]}
    sample = coder()
    plain = sample.encode(photo, quality)
    result = {"plain": (1., figures(photo, plain, mask))}
    for name, keep in choices.items():
        grid = np.zeros(lines * columns, np.uint8)
        grid[list(map(int, keep))] = 255
        kept = cv2.resize(grid.reshape(lines, columns), mask.shape[::-1], interpolation=cv2.INTER_NEAREST)
        data = roi_bytes(sample, photo, kept, quality, boost, len(plain))
        result[name] = data and (len(data) / len(plain), figures(photo, data, mask))
    return result


def print_table(results, quality):
    base, random = np.array([result["plain"][1] for result in results]), np.random.default_rng(0)
    digits = [2] * 3 + [4] * 3
    print(f"{len(base)} photos, quality {quality}\n\n| regions | bytes | " + " | ".join(NAMES) + " |\n"
          + "| --- " * 8 + "|")
    for name in results[0]:
        found = [result[name] or result["plain"] for result in results]
        sizes, values = [size for size, _ in found], np.array([value for _, value in found])
        print(f"| {name} | {100 * np.mean(sizes):.1f} % | "
              + " | ".join(f"{v:.{d}f}" for v, d in zip(values.mean(0), digits)) + " |")
        if name == "plain":
            continue
        apart = values - base
        draws = apart[random.integers(0, len(apart), (10000, len(apart)))].mean(axis=1)
        low, high = np.percentile(draws, [2.5, 97.5], axis=0)
        print("| less plain | | " + " | ".join(f"{m:+.{d}f} [{a:+.{d}f}, {b:+.{d}f}]" for m, a, b, d in
                                               zip(apart.mean(0), low, high, digits)) + " |")
        print(f"{name}: {sum(result[name] is None for result in results)} photos not possible, "
              f"{sum(size < 0.99 for size in sizes)} more than 1 % smaller", file=sys.stderr)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("ltrp", help="the tool")
    arguments.add_argument("photos", type=Path, help="folder of photos")
    arguments.add_argument("masks", type=Path, help="folder of their masks, NAME.png")
    arguments.add_argument("--count", type=int, help="photos to take, spread over the folder; all")
    arguments.add_argument("--keep", type=float, default=0.25, help="share of patches; 0.25")
    arguments.add_argument("--quality", type=int, default=30, help="of the plain JPEG; 30")
    arguments.add_argument("--boost", type=int, default=20, help="how much higher that of the kept patches is; 20")
    arguments.add_argument("--jobs", type=int, default=1, help="processes; 1")
    args = arguments.parse_args()

    photos = sorted(args.photos.iterdir())
    if args.count:
        photos = photos[:: max(1, len(photos) // args.count)][: args.count]
    ranked = json.loads(run(args.ltrp, "rank", *photos, "--keep", args.keep, "--json", "-", stdout=subprocess.PIPE))
    with multiprocessing.Pool(args.jobs) as pool:
        jobs = [(ranking, args.masks, args.quality, args.boost) for ranking in ranked]
        results = []
        for result in pool.imap(judge_photo, jobs):
            results.append(result)
            print(f"{len(results)} of {len(jobs)}", end="\r", file=sys.stderr)
    print_table([result for result in results if result], args.quality)


if __name__ == "__main__":
    main()
