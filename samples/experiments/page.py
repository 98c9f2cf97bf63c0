#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Writes tables into a Markdown page from finished cells of `ltrp eval downstream`.

    page.py collect OUT --json results.json    # all cells under OUT and files coverage.json, one per line
    page.py write results.json --page results.md

`write` replaces the text between the lines <!-- NAME --> and <!-- end --> of the page. NAME is the folder of an
`ltrp eval downstream` (classify/shared) or the result of `ltrp eval coverage --json` (collages/coverage).
"""

import argparse
import json
import math
import re
import statistics
import sys
from pathlib import Path

TITLES = {"accuracy": "accuracy", "class_mean": "mean of classes", "map": "mAP", "miou": "mIoU", "pixel_accuracy": "pixel accuracy"}
KEPT = ("selector", "keep", "seed", "commands", "inputs", "train_seconds", "test_seconds")


def fail(text):
    sys.exit(f"error: {text}")


def load(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")


def measures(cell):
    return {name: cell[name] for name in cell if name.lower() in TITLES}


def collect(out):
    """Cells and coverages, without the figures of each class and image."""
    lines = []
    for path in sorted(out.rglob("cells/*.json")):
        cell = load(path)
        if cell.get("failed") != 0:
            fail(f"{path}: {cell.get('failed')} images failed, expected none; compute the cell again")
        name = path.parent.parent.relative_to(out).as_posix()
        lines.append({"experiment": name, **{key: cell[key] for key in KEPT if key in cell}, **measures(cell)})
    for path in sorted(out.rglob("coverage.json")):
        coverage = load(path)
        lines.append({"experiment": path.relative_to(out).with_suffix("").as_posix(),
                      "sets": [{"name": Path(part.get("dir", part.get("name", "?"))).name, "methods": part["methods"],
                                "intervals": part["intervals"]} for part in coverage["sets"]],
                      "keep": coverage["keep"]})
    if not lines:
        fail(f"{out}: holds no cells/*.json and no coverage.json")
    return lines


def with_error(values, digits=3):
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {statistics.stdev(values) / math.sqrt(len(values)):.{digits}f}"


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"] +
                     ["| " + " | ".join(row) + " |" for row in rows])


def cells_table(cells):
    """A row for each selector, the best first; a column for each share and measure: mean over seeds and its standard error."""
    names = list(measures(cells[0]))
    keeps = sorted({cell["keep"] for cell in cells})
    groups = {}
    for cell in cells:
        groups.setdefault(cell["selector"], {}).setdefault(cell["keep"], []).append(cell)

    def mean(selector):
        return statistics.fmean(cell[names[0]] for group in groups[selector].values() for cell in group)

    head = ["selector"] + [f"{TITLES[name.lower()]}, {keep:.0%}" for keep in keeps for name in names]
    rows = []
    for selector in sorted(groups, key=mean, reverse=True):
        row = [f"`{selector}`"]
        for keep in keeps:
            for name in names:
                group = groups[selector].get(keep)
                row.append(with_error([cell[name] for cell in group]) if group else "")
        rows.append(row)
    seeds = sorted({cell["seed"] for cell in cells})
    return table(head, rows) + f"\n\nSeeds: {', '.join(map(str, seeds))}."


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
    for name in re.findall(r"<!-- ([a-z0-9/_-]+) -->", text):
        if name == "end":
            continue
        if name not in experiments:
            fail(f"{page}: <!-- {name} -->: there are no such cells; there are {', '.join(sorted(experiments))}")
        found = experiments[name]
        made = coverage_table(found[0]) if "sets" in found[0] else cells_table(found)
        text, count = re.subn(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{made}\n{m[2]}", text,
                              count=1, flags=re.S)
        if not count:
            fail(f"{page}: <!-- {name} --> has no <!-- end --> behind it")
    page.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("collect")
    one.add_argument("out", type=Path)
    one.add_argument("--json", type=Path, required=True)
    one = commands.add_parser("write")
    one.add_argument("json", type=Path)
    one.add_argument("--page", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "collect":
        options.json.write_text("".join(json.dumps(line) + "\n" for line in collect(options.out)))
    else:
        write([json.loads(line) for line in options.json.read_text().splitlines()], options.page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
