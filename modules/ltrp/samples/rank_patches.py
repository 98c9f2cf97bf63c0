#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Ranks the patches of one image and draws which of them are worth keeping."""
import argparse
import sys

from sample_tools import add_common, create_ranker, ltrp, read_image, run, select_params, write_image


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("image", help="image to rank")
    add_common(arguments)
    arguments.add_argument("--cluster", action="store_true",
                           help="keep varied patches (70 %% by score, the rest from clusters) instead of the best only")
    arguments.add_argument("--output", "-o", help="picture to write: kept patches bright, and a heat map")
    args = arguments.parse_args()

    image = read_image(args.image)
    # ! [rank]
    ranker = create_ranker(args.model)
    ranking = ranker.rank(image)
    keep = ltrp.selectPatches(ranking, select_params(args.keep, args.cluster), image)
    # ! [rank]

    order = ranking.order()
    print(f"{ranker.info()}kept: {len(keep)} of {len(order)} patches")
    for place, patch in enumerate(order[:10], 1):
        x, y, width, height = ranking.rect(int(patch))
        print(f"rank {place}: patch {patch} at [{width} x {height} from ({x}, {y})], "
              f"score {ranking.scores.flat[patch]:g}")
    if args.output:
        write_image(args.output, ltrp.drawOverlay(image, ranking, keep))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
