# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Tables of samples/experiments/page.py, from cells as `ltrp eval downstream` writes them."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "samples/experiments/page.py"


class Page(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.out = Path(self.folder.name)
        self.cells = self.out / "classify/shared/cells"
        self.cells.mkdir(parents=True)
        self.page = self.out / "page.md"
        self.page.write_text("Before\n<!-- classify/shared -->\nold\n<!-- end -->\nAfter\n")

    def cell(self, selector, keep, seed, accuracy, failed=0, right="", folder=None):
        """right: of each image, y if its class was found; empty: cells of another task"""
        stem = f"{selector}-{keep}-{seed}"
        folder = folder or self.cells
        (folder / f"{stem}.json").write_text(json.dumps(
            {"selector": selector, "keep": keep, "seed": seed, "accuracy": accuracy, "class_mean": accuracy / 2, "images": 4,
             "failed": failed, "commands": [["finetune"], ["predict"]], "inputs": {}}))
        lines = [json.dumps({"image": f"{i}.png", "label": "ab"[i // 2], "class": "ab"[i // 2] if letter == "y" else "c"})
                 for i, letter in enumerate(right)]
        (folder / f"{stem}.images.jsonl").write_text("\n".join(lines or [json.dumps({"image": "0.png", "mask": "0.png"})]))

    def run_page(self, *arguments):
        return subprocess.run([sys.executable, str(PAGE), *map(str, arguments)], text=True, capture_output=True, check=False)

    def write(self):
        results = self.out / "results.json"
        collected = self.run_page("collect", self.out, "--json", results)
        return collected if collected.returncode else self.run_page("write", results, "--page", self.page)

    def test_means_and_standard_errors_over_seeds_best_selector_first(self):
        for seed, accuracy in enumerate((0.3, 0.5)):
            self.cell("ranker", 0.25, seed, accuracy)
        self.cell("centre", 0.25, 0, 0.2)
        self.cell("centre", 0.5, 0, 0.3)
        self.assertEqual(self.write().returncode, 0)
        self.assertEqual(self.page.read_text(), """Before
<!-- classify/shared -->
| 25% of the patches | mean of classes | images |
| --- | --- | --- |
| `ranker` | 0.200 ± 0.050 | 0.400 ± 0.100 |
| `centre` (1 of 2 cells) | 0.100 | 0.200 |

| 50% of the patches | mean of classes | images |
| --- | --- | --- |
| `centre` | 0.150 | 0.300 |
<!-- end -->
After
""")

    def test_the_reference_is_compared_image_by_image(self):
        for seed, (random, centre) in enumerate((("ynnn", "yyyn"), ("ynyn", "yynn"))):
            self.cell("random", 0.25, seed, 0.5, right=random)
            self.cell("centre", 0.25, seed, 0.25, right=centre)
        self.cell("centre", 0.5, 0, 0.25, right="yyyy")
        self.assertEqual(self.write().returncode, 0)
        # Classes: (0 + 100) / 2 and 0 points ahead: mean 25, standard deviation 35.4, of two.
        self.assertIn("| `centre` | 0.125 ± 0.000 | 0.250 ± 0.000 | +25.0 ± 25.0 |\n",
                      self.page.read_text())

    def test_several_labels_by_half_of_the_classes(self):
        (self.out / "classify/labelled.txt").write_text("ant\n")
        for selector, precisions in (("random", (0.5, 0.2, 0.1)), ("ranker", (0.6, 0.4, 0.3))):
            classes = [{"class": name, "images": 2, "average_precision": value}
                       for name, value in zip(("ant", "bee", "cat"), precisions)]
            (self.cells / f"{selector}-0.25-0.json").write_text(json.dumps(
                {"selector": selector, "keep": 0.25, "seed": 0, "map": sum(precisions) / 3, "images": 2, "failed": 0,
                 "classes": classes + [{"class": "dog", "images": 0}]}))
        self.assertEqual(self.write().returncode, 0)
        page = self.page.read_text()
        self.assertIn("| mAP | labelled classes | unlabelled classes | ahead of `random`, points |\n", page)
        # 10, 20, 20 points ahead: mean 16.7, standard deviation 5.8, of three.
        self.assertIn("| `ranker` | 0.433 | 0.600 | 0.350 | +16.7 ± 3.3 |\n", page)
        self.assertIn("| `random` | 0.267 | 0.500 | 0.150 |  |\n", page)

    def test_times_are_a_table_the_fastest_first(self):
        (self.out / "classify/times.json").write_text(json.dumps(
            {"keep": 0.25, "photos": 9, "milliseconds": {"ranker": [30, 90, 40], "random": [20, 10, 10]}}))
        self.page.write_text("<!-- classify/times -->\n<!-- end -->\n")
        self.assertEqual(self.write().returncode, 0)
        self.assertIn("times `random` |\n| --- | --- | --- |\n| `random` | 10 | 1.0 |\n| `ranker` | 40 | 4.0 |\n", self.page.read_text())

    def test_times_come_from_the_program(self):
        program = self.out / "ltrp"
        program.write_text(f"#!/bin/sh\necho \"$@\" >>'{self.out}/words'\necho '[]'\n")
        program.chmod(0o755)
        result = self.out / "times.json"
        done = self.run_page("times", program, "m", "a.jpg", "b.jpg", "c.jpg", "--selectors", "random,merge,grad_cam,all",
                             "--classifier", "k", "--rounds", "2", "--json", result)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(result.read_text())
        self.assertEqual((found["photos"], {name: len(values) for name, values in found["milliseconds"].items()}),
                         (3, {"random": 2, "merge": 2, "grad_cam": 2, "all": 2}))
        words = (self.out / "words").read_text().splitlines()
        begin = "predict m a.jpg b.jpg c.jpg --threads 1 --json - "
        for end in ("--keep 0.25 --selector random", "--merge 0.25", "--keep 0.25 --selector grad_cam --classifier k",
                    "--keep 1 --selector all"):
            self.assertEqual(words.count(begin + end), 2)
        program.write_text("#!/bin/sh\necho 'cannot read m' >&2\nexit 1\n")
        done = self.run_page("times", program, "m", "a.jpg", "b.jpg", "--selectors", "random", "--json", result)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot read m", done.stderr)

    def test_folds_count_as_seeds(self):
        for number, name in enumerate(("fold0", "fold1")):
            folder = self.out / "segment" / name / "cells"
            folder.mkdir(parents=True)
            self.cell("ranker", 0.25, 0, 0.2 + 0.2 * number, folder=folder)
        self.page.write_text("<!-- segment/fold* -->\n<!-- end -->\n")
        self.assertEqual(self.write().returncode, 0)
        self.assertIn("| `ranker` | 0.150 ± 0.050 | 0.300 ± 0.100 |", self.page.read_text())

    def test_cells_with_failed_images_and_unknown_tables_are_refused(self):
        self.cell("centre", 0.25, 0, 0.2, failed=3)
        self.assertIn("centre-0.25-0.json: 3 images failed", self.write().stderr)
        self.cell("centre", 0.25, 0, 0.2)
        self.page.write_text("<!-- segment/fold0 -->\n<!-- end -->\n")
        refused = self.write()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("<!-- segment/fold0 -->: there are no such cells; there are classify/shared", refused.stderr)


if __name__ == "__main__":
    unittest.main()
