#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Writes tables into a Markdown page from finished cells of `ltrp eval downstream`.

    page.py collect OUT --json results.json    # all cells under OUT, files coverage.json and times.json; a line for each
    page.py times LTRP MODEL PHOTO... --selectors random,ranker --classifier MODEL --json OUT/classify/times.json
    page.py kept LTRP MODEL PHOTO... --selectors random,ranker --classifier MODEL --out kept.jpg   # OpenCV, matplotlib
    page.py write results.json --page results.md
    page.py curves results.json --experiment classify/shared --out curves.png   # needs matplotlib

`write` replaces the text between the lines <!-- NAME --> and <!-- end --> of the page. NAME is the folder of an
`ltrp eval downstream` (classify/shared; segment/fold*: several folders, whose cells count as further seeds), the result of
`ltrp eval coverage --json` (collages/coverage), or of `times` (classify/times). `times` wants a machine without other work.
"""

import argparse
import fnmatch
import json
import math
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

TITLES = {"class_mean": "mean of classes", "accuracy": "images", "map": "mAP",
          "map_labelled": "labelled classes", "map_unlabelled": "unlabelled classes",
          "miou": "mIoU", "pixel_accuracy": "pixel accuracy"}
KEPT = ("selector", "keep", "seed", "images", "train_seconds")
NEED_CLASSIFIER = ("class_attention", "attention_rollout", "grad_cam")
REFERENCES = ("random", "uniform")   # the selectors that the others are compared with, on the same images


def fail(text):
    sys.exit(f"error: {text}")


def load(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")


def measures(cell):
    return {name: cell[name] for title in TITLES for name in cell if name.lower() == title}


def halves(cell, file):
    """The mAP of the classes that labelled.txt beside the grid's folder names, and of the others."""
    names = file.parents[2] / "labelled.txt"
    if "map" not in cell or not names.is_file():
        return {}
    labelled = set(names.read_text().splitlines())
    found = {"map_labelled": [], "map_unlabelled": []}
    for entry in cell["classes"]:
        if "average_precision" in entry:
            found["map_labelled" if entry["class"] in labelled else "map_unlabelled"].append(entry["average_precision"])
    return {name: statistics.fmean(values) for name, values in found.items() if values}


def answers_of(cell, cell_file):
    """{class: {image: 1 if its class was found, else 0}}; for several labels {class: {"": average precision}}; None for
    segmentation."""
    if "map" in cell:
        return {entry["class"]: {"": entry["average_precision"]} for entry in cell["classes"] if "average_precision" in entry}
    answers = {}
    for line in cell_file.with_suffix(".images.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if "label" not in entry or "class" not in entry:
            return None
        answers.setdefault(entry["label"], {})[entry["image"]] = int(entry["label"] == entry["class"])
    return answers


def differences(cells):
    """Each other selector minus a reference in points (of 100) on the same images: mean over the classes, of the seeds that
    both have, and its standard error over the classes. cells: {(selector, keep): {seed: answers_of()}}"""
    lines = []
    for (selector, keep), seeds in sorted(cells.items()):
        for versus in REFERENCES:
            reference = cells.get((versus, keep), {})
            common = sorted(seed for seed in seeds if seed in reference and seeds[seed] and reference[seed])
            if selector == versus or not common:
                continue
            values = [100 * statistics.fmean(seeds[seed][label][image] - reference[seed][label][image]
                                             for seed in common for image in images)
                      for label, images in sorted(reference[common[0]].items())]
            lines.append({"selector": selector, "keep": keep, "versus": versus, "ahead": statistics.fmean(values),
                          "error": standard_error(values)})
    return lines


def collect(out):
    """Cells and coverages, without the figures of each class and image."""
    lines = []
    answers = {}
    for path in sorted(out.rglob("cells/*.json")):
        cell = load(path)
        if cell.get("failed") != 0:
            fail(f"{path}: {cell.get('failed')} images failed, expected none; compute the cell again")
        name = path.parent.parent.relative_to(out).as_posix()
        lines.append({"experiment": name, **{key: cell[key] for key in KEPT if key in cell},
                      **measures({**cell, **halves(cell, path)})})
        group = answers.setdefault(name, {}).setdefault((cell["selector"], cell["keep"]), {})
        group[cell["seed"]] = answers_of(cell, path)
    for name, cells in answers.items():
        lines += [{"experiment": name, **line} for line in differences(cells)]
    for path in sorted(out.rglob("coverage.json")):
        coverage = load(path)
        lines.append({"experiment": path.relative_to(out).with_suffix("").as_posix(),
                      "sets": [{"name": Path(part.get("dir", part.get("name", "?"))).name, "methods": part["methods"],
                                "intervals": part["intervals"]} for part in coverage["sets"]],
                      "keep": coverage["keep"]})
    for path in sorted(out.rglob("times.json")):
        lines.append({"experiment": path.relative_to(out).with_suffix("").as_posix(), **load(path)})
    if not lines:
        fail(f"{out}: holds no cells/*.json and no coverage.json")
    return lines


def standard_error(values):
    return statistics.stdev(values) / math.sqrt(len(values))


def with_error(values):
    mean = f"{statistics.fmean(values):.3f}"
    return mean if len(values) < 2 else f"{mean} ± {standard_error(values):.3f}"


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"] +
                     ["| " + " | ".join(row) + " |" for row in rows])


def cells_table(lines):
    """A table for each share with a row for each selector, the best first: the measures (mean over seeds and its standard
    error) and by how many points of the mean over the classes a selector is ahead of each reference."""
    cells = [line for line in lines if "ahead" not in line]
    ahead = {(line["selector"], line["keep"], line["versus"]): f"{line['ahead']:+.1f} ± {line['error']:.1f}"
             for line in lines if "ahead" in line}
    names = list(measures(cells[0]))
    extra = sorted({versus for _, _, versus in ahead})
    groups = {}
    for cell in cells:
        groups.setdefault(cell["keep"], {}).setdefault(cell["selector"], []).append(cell)
    text = []
    for keep, selectors in sorted(groups.items()):
        rows = []
        for selector, group in sorted(selectors.items(), key=lambda entry: -statistics.fmean(cell[names[0]] for cell in entry[1])):
            rows.append([f"`{selector}`"] + [with_error([cell[name] for cell in group]) for name in names] +
                        [ahead.get((selector, keep, versus), "") for versus in extra])
            if len(group) < max(map(len, selectors.values())):
                rows[-1][0] += f" ({len(group)} of {max(map(len, selectors.values()))} cells)"
        text.append(table([f"{keep:.0%} of the patches"] + [TITLES[name.lower()] for name in names] +
                          [f"ahead of `{versus}`, points" for versus in extra], rows))
    return "\n\n".join(text)


def predict(options, selector, photos):
    """What `ltrp predict` says of each photo. merge and all see all patches."""
    command = [options.ltrp, "predict", options.model, *photos, "--threads", "1", "--json", "-"]
    command += (["--merge", str(options.keep)] if selector == "merge" else
                ["--keep", "1" if selector == "all" else str(options.keep), "--selector", selector])
    if selector in NEED_CLASSIFIER:
        command += ["--classifier", options.classifier]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        fail(f"{' '.join(command[:3])} ... --selector {selector}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def times(options):
    """Time for an image by each selector (`all`: of all patches), rounds of all selectors in turn. Starting the program and
    reading the weights do not count: it is the time for all photos less that for the first one."""
    def seconds(selector, photos):
        begin = time.perf_counter()
        predict(options, selector, photos)
        return time.perf_counter() - begin

    selectors = options.selectors.split(",")
    found = {selector: [] for selector in selectors}
    for _ in range(options.rounds):
        for selector in selectors:
            found[selector].append(1000 * (seconds(selector, options.photos) - seconds(selector, options.photos[:1])) /
                                   (len(options.photos) - 1))
    return {"keep": options.keep, "photos": len(options.photos), "milliseconds": found}


def kept(options):
    """A row for each photo, a column for each selector. The patches that it drops are dark."""
    import cv2
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np
    selectors = options.selectors.split(",")
    if "merge" in selectors:
        fail("--selectors: merge keeps all patches")
    figure, axes = plt.subplots(len(options.photos), len(selectors), squeeze=False, layout="constrained",
                                figsize=(2 * len(selectors), 1.4 * len(options.photos)))
    for column, selector in enumerate(selectors):
        axes[0, column].set_title(selector, fontsize=9)
        for row, entry in enumerate(predict(options, selector, options.photos)):
            photo = cv2.cvtColor(cv2.imread(options.photos[row]), cv2.COLOR_BGR2RGB)
            columns, rows = entry["grid"]
            shown = np.full(rows * columns, 0.15)
            shown[entry["keep"]] = 1
            places = [np.arange(length) * parts // length for length, parts in zip(photo.shape, (rows, columns))]
            light = shown.reshape(rows, columns)[np.ix_(*places)]
            axes[row, column].imshow((photo * light[..., None]).astype(np.uint8))
            axes[row, column].axis("off")
    figure.savefig(options.out, dpi=110)


def times_table(entry):
    found = entry["milliseconds"]
    least = statistics.median(found[REFERENCES[0]])
    rows = [[f"`{name}`", f"{statistics.median(values):.0f}", f"{statistics.median(values) / least:.1f}"]
            for name, values in sorted(found.items(), key=lambda entry: statistics.median(entry[1]))]
    return table([f"{entry['keep']:.0%} of the patches", "ms for a photo", f"times `{REFERENCES[0]}`"], rows)


def coverage_table(entry):
    """Share of the objects kept, of each half, and their difference."""
    sets = entry["sets"]
    wanted = [entry["keep"].index(keep) for keep in (0.25, 0.5)]
    head = ["selector"] + [f"{part['name']}, {entry['keep'][i]:.0%}" for i in wanted for part in sets]
    names = sorted(sets[0]["methods"], key=lambda name: -sets[-1]["methods"][name][wanted[0]])
    rows = []
    for name in names:
        rows.append([f"`{name}`"] + [f"{part['methods'][name][i]:.3f} [{part['intervals'][name][i][0]:.3f}, "
                                     f"{part['intervals'][name][i][1]:.3f}]" for i in wanted for part in sets])
    return table(head, rows)


def write(lines, page):
    experiments = {}
    for line in lines:
        experiments.setdefault(line["experiment"], []).append(line)
    text = page.read_text()
    for name in re.findall(r"<!-- ([a-z0-9/_*-]+) -->", text):
        if name == "end":
            continue
        found = [line for each in fnmatch.filter(sorted(experiments), name) for line in experiments[each]]
        if not found:
            fail(f"{page}: <!-- {name} -->: there are no such cells; there are {', '.join(sorted(experiments))}")
        kinds = {"sets": coverage_table, "milliseconds": times_table}
        made = next((make(found[0]) for key, make in kinds.items() if key in found[0]), None) or cells_table(found)
        text, count = re.subn(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{made}\n{m[2]}", text,
                              count=1, flags=re.S)
        if not count:
            fail(f"{page}: <!-- {name} --> has no <!-- end --> behind it")
    page.write_text(text)


def curves(lines, experiment, out):
    """The first measure over the share of patches, for the selectors with the most shares."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    cells = [line for line in lines if line["experiment"] == experiment and "seed" in line]
    if not cells:
        fail(f"{experiment}: there are no such cells")
    name = next(iter(measures(cells[0])))
    groups = {}
    for cell in cells:
        groups.setdefault(cell["selector"], {}).setdefault(cell["keep"], []).append(cell[name])
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for selector, shares in sorted(groups.items(), key=lambda group: -statistics.fmean(group[1].get(0.25, [0]))):
        points = sorted((keep, statistics.fmean(values), standard_error(values) if len(values) > 1 else 0)
                        for keep, values in shares.items())
        if selector == "all":
            axes.axhline(points[-1][1], color="black", linestyle=":", label="all patches")
        elif len(points) == max(map(len, groups.values())):
            keeps, means, errors = zip(*points)
            axes.errorbar(keeps, means, errors, marker="o", markersize=4, capsize=2, label=selector)
    axes.set(xlabel="share of patches kept", ylabel=("right answers, " if name == "class_mean" else "") + TITLES[name.lower()])
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", frameon=False)
    figure.savefig(out, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("collect")
    one.add_argument("out", type=Path)
    one.add_argument("--json", type=Path, required=True)
    one = commands.add_parser("write")
    one.add_argument("json", type=Path)
    one.add_argument("--page", type=Path, required=True)
    for name in ("times", "kept"):
        one = commands.add_parser(name)
        one.add_argument("ltrp", metavar="LTRP", help="the program")
        one.add_argument("model", metavar="MODEL")
        one.add_argument("photos", nargs="+", metavar="PHOTO")
        one.add_argument("--selectors", required=True)
        one.add_argument("--classifier", default="")
        one.add_argument("--keep", type=float, default=0.25)
        if name == "times":
            one.add_argument("--rounds", type=int, default=3)
            one.add_argument("--json", type=Path, required=True)
        else:
            one.add_argument("--out", type=Path, required=True)
    one = commands.add_parser("curves")
    one.add_argument("json", type=Path)
    one.add_argument("--experiment", required=True)
    one.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "collect":
        options.json.write_text("".join(json.dumps(line) + "\n" for line in collect(options.out)))
        return 0
    if options.command == "times":
        options.json.write_text(json.dumps(times(options)) + "\n")
        return 0
    if options.command == "kept":
        kept(options)
        return 0
    lines = [json.loads(line) for line in options.json.read_text().splitlines()]
    if options.command == "write":
        write(lines, options.page)
    else:
        curves(lines, options.experiment, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
