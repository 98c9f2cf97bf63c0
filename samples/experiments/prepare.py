#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Makes data for `ltrp finetune` and `ltrp eval downstream`: what are kept patches worth?

DATA holds caltech101/ (train/CLASS/*.jpg, val/CLASS/*.jpg), photos_cc/ (photos of any kind, for backgrounds) and, for
segmentation, folders with images/ and foreground/ (coco128, coco_mini). OUT receives, by relative paths:
  classify/   train.csv: some images of each class; test.csv: all of val
  collages/   224 x 224 pixels, two or four Caltech-101 objects on a background. half.csv: training images of the labelled
              half of the classes alone; labelled/ and unlabelled/: the same test images with the objects of either half
              as foreground; train.csv and test.csv: collages with all their classes
  segment/    the photos with masks in two folds, fold0/ and fold1/
The same seed and data give the same files. Needs OpenCV's Python package.
"""

import argparse
import csv
import random
import sys
from pathlib import Path

import cv2
import numpy as np

SIDE = 224   # of a collage, pixels


def images_in(folder):
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not found:
        sys.exit(f"error: {folder}: holds no image")
    return found


def chosen_per_class(folder, count, seed):
    """{class: paths}, at most `count` of each class."""
    chosen = {}
    for entry in sorted(path for path in folder.iterdir() if path.is_dir()):
        paths = images_in(entry)
        random.Random(f"{seed} {entry.name}").shuffle(paths)
        chosen[entry.name] = sorted(paths[:count])
    if not chosen:
        sys.exit(f"error: {folder}: expected a folder for each class")
    return chosen


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def link(target, path):
    """DATA is not copied; links keep the paths in the cells relative."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_symlink():
        path.symlink_to(target.resolve())


def prepare_classify(data, out, options):
    folder = out / "classify"
    link(data / "caltech101", folder / "caltech101")
    for name, part, count in (("train", "train", options.per_class), ("test", "val", 10 ** 6)):
        rows = [(f"caltech101/{part}/{label}/{path.name}", label)
                for label, paths in chosen_per_class(data / "caltech101" / part, count, options.seed).items()
                for path in paths]
        write_csv(folder / f"{name}.csv", rows)


def square(image, side, draw):
    """A random crop of the image, `side` pixels wide and high."""
    height, width = image.shape[:2]
    short = min(height, width)
    x, y = draw.randint(0, width - short), draw.randint(0, height - short)
    return cv2.resize(image[y:y + short, x:x + short], (side, side), interpolation=cv2.INTER_AREA)


def collage(background, objects, draw):
    """Objects in the cells of a 2 x 2 grid, moved and scaled a little. Returns the picture and one mask for each object.

    Caltech-101 has no masks here: an object is the ellipse in the middle of its photo, blended softly, so that neither
    the photo's border nor its corners, which are background, stand out.
    """
    picture = square(background, SIDE, draw).astype(np.float32)
    cells = draw.sample([(0, 0), (0, 1), (1, 0), (1, 1)], len(objects))
    masks = []
    half = SIDE // 2
    for (row, column), photo in zip(cells, objects):
        side = draw.randint(int(0.7 * half), half - 4)
        x = column * half + draw.randint(0, half - side)
        y = row * half + draw.randint(0, half - side)
        axis = (np.arange(side) + 0.5) / side * 2 - 1
        distance = np.hypot(axis[None, :], axis[:, None])
        weight = np.clip((1 - distance) / 0.15, 0, 1)[..., None]
        patch = picture[y:y + side, x:x + side]
        middle = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
        patch[:] = weight * middle + (1 - weight) * patch
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[y:y + side, x:x + side][distance < 0.925] = 255
        masks.append(mask)
    return picture.round().astype(np.uint8), masks


def read(path):
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        sys.exit(f"error: {path}: cannot be read")
    return image


def prepare_collages(data, out, options):
    folder = out / "collages"
    link(data / "caltech101", folder / "caltech101")
    backgrounds = images_in(data / "photos_cc")
    classes = sorted(path.name for path in (data / "caltech101/train").iterdir() if path.is_dir())
    random.Random(options.seed).shuffle(classes)
    labelled = set(classes[:len(classes) // 2])
    write_csv(folder / "half.csv", [
        (f"caltech101/train/{label}/{path.name}", label)
        for label, paths in chosen_per_class(data / "caltech101/train", options.per_class, options.seed).items()
        if label in labelled for path in paths])
    (folder / "labelled.txt").write_text("".join(f"{name}\n" for name in sorted(labelled)))
    for part, source, count in (("train", "train", options.collages), ("test", "val", options.test_collages)):
        draw = random.Random(f"{options.seed} {part}")
        photos = chosen_per_class(data / "caltech101" / source, 10 ** 6, options.seed)
        halves = [sorted(labelled), sorted(set(photos) - labelled)]
        (folder / part).mkdir(parents=True, exist_ok=True)
        rows = []
        for number in range(count):
            names = [name for half in halves for name in draw.sample(half, draw.choice((1, 2)))]
            if len(names) == 3:   # two or four objects, as many of either half
                names = [names[0], names[-1]]
            picture, masks = collage(read(draw.choice(backgrounds)), [read(draw.choice(photos[name])) for name in names], draw)
            name = f"{number:05d}.png"
            cv2.imwrite(str(folder / part / name), picture)
            rows.append((f"{part}/{name}", ";".join(sorted(names))))
            if part == "test":
                for half, wanted in (("labelled", True), ("unlabelled", False)):
                    (folder / half / "foreground").mkdir(parents=True, exist_ok=True)
                    mask = np.maximum.reduce([m for m, n in zip(masks, names) if (n in labelled) == wanted])
                    cv2.imwrite(str(folder / half / "foreground" / name), mask)
        write_csv(folder / f"{part}.csv", rows)
    for half in ("labelled", "unlabelled"):
        link(folder / "test", folder / half / "images")


def prepare_segment(data, out, _):
    """Photos alternate between the folds, in the order of their names."""
    number = 0
    for name in ("coco128", "coco_mini"):
        for path in images_in(data / name / "images"):
            fold = out / "segment" / f"fold{number % 2}"
            link(path, fold / "images" / f"{name}-{path.name}")
            link(data / name / "foreground" / f"{path.stem}.png", fold / "foreground" / f"{name}-{path.stem}.png")
            number += 1


EXPERIMENTS = {"classify": prepare_classify, "collages": prepare_collages, "segment": prepare_segment}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--only", choices=EXPERIMENTS, nargs="+", default=list(EXPERIMENTS))
    parser.add_argument("--per-class", type=int, default=30, metavar="N", help="training images of each class (30)")
    parser.add_argument("--collages", type=int, default=1500, metavar="N", help="collages to train on (1500)")
    parser.add_argument("--test-collages", type=int, default=400, metavar="N", help="collages to test on (400)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if min(options.per_class, options.collages, options.test_collages) < 1:
        parser.error("--per-class, --collages and --test-collages are 1 or more")
    for name in options.only:
        EXPERIMENTS[name](options.data, options.out, options)
        print(f"{options.out / name}: ready", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
