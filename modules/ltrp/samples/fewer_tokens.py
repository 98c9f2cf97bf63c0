#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Fewer tokens: a vision transformer classifies photos by their best-ranked patches only.

Prints how much faster it gets and how often the answer is the same as with all patches, compared with as many drawn at
random, evenly spread and nearest the centre.
"""
import argparse
import os
import sys
import time

import cv2
import numpy as np

from sample_tools import (INTERRUPTED, Progress, catch_interrupt, create_ranker, interrupted, ltrp, parse_shares,
                          read_image, run, select_params)


class Classifier:
    """A classifier whose network accepts any subset of the patches: NAME.onnx and NAME.yml of vit_to_onnx.py."""

    def __init__(self, path):
        about = os.path.splitext(path)[0] + ".yml"
        for file in (about, path):
            if not os.path.isfile(file):
                raise RuntimeError(f"{file}: is missing; vit_to_onnx.py writes it")
        file = cv2.FileStorage(about, cv2.FILE_STORAGE_READ)
        self.size, self.grid = (int(file.getNode(name).real()) for name in ("size", "grid"))
        classes = file.getNode("classes")
        self.classes = [classes.at(i).string() for i in range(classes.size())]
        if self.size < 1 or self.grid < 1 or not self.classes:
            raise RuntimeError(f"{about}: size, grid and classes are expected")
        self.net = cv2.dnn.readNetFromONNX(path)

    # ! [classify]
    def run(self, image, patches):
        """image: uint8 [size,size,3]; patches: the numbers of those to use. Returns one probability per class."""
        # One-hot rows that select the tokens: the class token first, then the patches. The rest of the network
        # processes only these, so that its time decreases with their number.
        keep = np.zeros((1, len(patches) + 1, self.grid ** 2 + 1), np.float32)
        keep[0, np.arange(len(patches) + 1), np.concatenate([[0], np.asarray(patches, int) + 1])] = 1
        self.net.setInput(cv2.dnn.blobFromImage(image, 1 / 255, swapRB=True), "image")
        self.net.setInput(keep, "keep")
        logits = self.net.forward("logits").reshape(-1)
        shares = np.exp(logits - logits.max())
        return shares / shares.sum()
    # ! [classify]


def find_photos(path):
    if not os.path.isdir(path):
        return [path]
    photos = sorted(os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names
                    if cv2.haveImageReader(os.path.join(folder, name)))
    if not photos:
        raise RuntimeError(f"{path}: no photo in this folder")
    return photos


def on_grid(ranking, grid, size):
    """The scores on the classifier's grid: both networks use the whole photo, so that positions correspond."""
    same = ltrp.PatchRanking()
    same.imageSize = (size, size)
    scores = np.asarray(ranking.scores)
    same.scores = scores if scores.shape == (grid, grid) else cv2.resize(scores, (grid, grid))
    return same


def centre_patches(grid, count):
    """The patches nearest to the centre of the grid; among equals the first ones."""
    offset = (2 * np.arange(grid) - grid + 1) ** 2   # doubled, so that equal distances compare equal
    return np.sort(np.argsort((offset[:, None] + offset).ravel(), kind="stable")[:count])


def uniform_patches(grid, count):
    """Evenly spread patches by ordered dithering. A quarter is every second column of every second row."""
    row, column = np.divmod(np.arange(grid ** 2), grid)
    rank = np.zeros(grid ** 2, int)
    for bit in range(12):
        rank = 4 * rank + 2 * ((column ^ row) >> bit & 1) + (row >> bit & 1)
    return np.sort(np.argsort(rank, kind="stable")[:count])


def difference(a, b):
    """Mean difference of two choices on the same photos, in percentage points, with its 95 % interval."""
    apart = 100 * (a - b)
    reach = 1.96 * apart.std(ddof=1) / len(apart) ** 0.5
    return f"{apart.mean():+.1f} [{apart.mean() - reach:+.1f}, {apart.mean() + reach:+.1f}]"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("input", help="photo, or folder of photos, searched recursively")
    arguments.add_argument("--classifier", "-c", required=True, help="NAME.onnx of vit_to_onnx.py, next to NAME.yml")
    arguments.add_argument("--model", "-m", help="ranker's weights (.safetensors or .pth); shipped ones unless told")
    arguments.add_argument("--keep", "-k", default="0.75,0.5,0.25", help="shares of patches to try, each in (0, 1)")
    how = arguments.add_mutually_exclusive_group()
    how.add_argument("--cluster", action="store_true",
                     help="keep varied patches (70 %% by score, the rest from clusters) instead of the best only")
    how.add_argument("--sample", "-s", action="store_true",
                     help="draw patches at random, those with high scores more often, instead of the best")
    arguments.add_argument("--temperature", "-t", type=float,
                           help="of --sample, above 0: low ones draw the best, high ones any; 1 unless told")
    arguments.add_argument("--draws", "-n", type=int, default=1,
                           help="draws of the random patches, and of those of --sample, to average over; 1")
    args = arguments.parse_args()
    if args.temperature is not None and not args.sample:
        arguments.error("--temperature goes with --sample")
    temperature = (1.0 if args.temperature is None else args.temperature) if args.sample else None
    if temperature is not None and not 0 < temperature < float("inf"):
        arguments.error(f"--temperature: {temperature:g}, expected a number above 0")
    if args.draws < 1:
        arguments.error(f"--draws: {args.draws}, expected 1 or more")
    shares = parse_shares(arguments, args.keep)

    classifier, ranker = Classifier(args.classifier), create_ranker(args.model)
    catch_interrupt()
    files, inputs, rankings, labels, times = find_photos(args.input), [], [], [], []
    with Progress("ranking photo", len(files)) as progress:
        for file in files:
            image = read_image(file)
            start = time.perf_counter()
            ranking = ranker.rank(image)
            times.append(time.perf_counter() - start)
            rankings.append(on_grid(ranking, classifier.grid, classifier.size))
            inputs.append(cv2.resize(image, (classifier.size,) * 2, interpolation=cv2.INTER_AREA))
            folder = os.path.basename(os.path.dirname(os.path.abspath(file)))
            labels.append(classifier.classes.index(folder) if folder in classifier.classes else -1)
            progress.step(len(inputs))
            if interrupted():
                return INTERRUPTED
    labels, rank_time = np.array(labels), np.median(times)
    labelled = labels >= 0
    names = ["varied"] if args.cluster else ["sampled"] if args.sample else []
    names += ["best", "random", "uniform", "centre"]

    lines, apart, full, full_time, draw = [], [], None, None, np.random.default_rng(0)
    said = [[] for _ in files]
    for share in [1.0] + shares:
        answers, times = [], []   # per photo, one per draw
        others = {other: [] for other in names[1:] if share < 1}
        chosen_draws = args.draws if args.sample and share < 1 else 1
        name = "all" if share == 1 else f"{100 * share:.0f} %"
        with Progress(f"{name} of the patches, photo", len(files)) as progress:
            for i, (image, ranking) in enumerate(zip(inputs, rankings)):
                def choose(number):   # a different seed for each photo and draw
                    if share == 1:
                        return ltrp.selectPatches(ranking, select_params(1.0))
                    params = select_params(share, args.cluster, temperature, number * len(files) + i)
                    return ltrp.selectPatches(ranking, params, image)

                patches = choose(0)
                if i == 0:
                    classifier.run(image, patches)   # allocates memory, which must not be timed
                start = time.perf_counter()
                result = classifier.run(image, patches)
                times.append(time.perf_counter() - start)
                said[i].append(f"{name}: {classifier.classes[result.argmax()]} {100 * result.max():.1f} %")
                answers.append([result.argmax()] + [classifier.run(image, choose(number)).argmax()
                                                    for number in range(1, chosen_draws)])
                if share < 1:
                    grid, count = classifier.grid, len(patches)
                    chosen = {"random": [draw.permutation(grid ** 2)[:count] for _ in range(args.draws)],
                              "uniform": [uniform_patches(grid, count)], "centre": [centre_patches(grid, count)],
                              "best": [ltrp.selectPatches(ranking, select_params(share))]}
                    for other, found in others.items():
                        found.append([classifier.run(image, np.sort(kept)).argmax() for kept in chosen[other]])
                progress.step(i + 1)
                if interrupted():
                    return INTERRUPTED   # an incomplete table would mislead
        if share == 1:
            full, full_time = np.array(answers), np.median(times)

        def right(found):
            return (np.array(found) == labels[:, None])[labelled].mean(1)   # of each photo with a label

        def percentages(found):
            same = f"  {100 * (np.array(found) == full).mean():11.1f} %"
            return same + (f"  {100 * right(found).mean():4.1f} %" if labelled.any() else "")

        line = f"{name:>7}  {len(patches) + 1:6}  {1000 * np.median(times):8.2f}  {full_time / np.median(times):4.2f}x"
        lines.append(line + "".join(percentages(found) for found in [answers] + list(others.values())))
        if share < 1 and labelled.sum() > 1:
            apart.append(f"{name:>7}  {names[0]} " + ", ".join(
                f"- {other} {difference(right(answers), right(found))}" for other, found in
                list(others.items()) + [("all", full)]))

    print(f"{len(files)} photos, {classifier.grid} x {classifier.grid} patches, {len(classifier.classes)} classes; "
          f"ranking took {1000 * rank_time:.2f} ms a photo")
    print("patches  tokens  ms/photo  speed" + "".join(f"  {name:>7}: same" + ("   right" if labelled.any() else "")
                                                       for name in names))
    print("\n".join(lines))
    if apart:
        print("right on the same photos, percentage points and their 95 % intervals:\n" + "\n".join(apart))
    if len(files) <= 10:
        for file, words in zip(files, said):
            print(f"{file}: {', '.join(words)}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
