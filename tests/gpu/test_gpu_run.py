"""The script tests/gpu/run without a GPU: what it says where there is none, and how it judges what programs answer.

The programs here are small scripts with known answers: what the real ones compute is not this test's business.
"""

import contextlib
import io
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import gpu_report
import gpu_run
import gpu_steps
import gpu_tools

LTRP = """#!{python}
import json, sys
from math import nan
args, noise = sys.argv[1:], {noise}
if args == ["--version"]:
    sys.exit(0)
option = lambda name: args[args.index(name) + 1]
if args[0] == "golden":
    if {off}:
        print("  FAIL scores.k98                abs 0.25 at 3, 4   tolerance 1e-4")
    print("7 checks passed, %d failed" % {off})
    sys.exit(1 if {off} else 0)
if args[0] in ("score", "rank"):
    scores = [((37 * i) % 101) / 101 for i in range(60)]
    if option("--device") == "cuda":
        scores = [s + noise * ((i * 7919) % 13) for i, s in enumerate(scores)]
    photos = [word for word in args if word.endswith(".jpg")]
    json.dump([{{"image": "a", "scores": scores}}] * len(photos), open(option("--json"), "w"))
if args[0] in ("pretrain", "train"):
    import os
    os.makedirs(option("--out"))
    factor = 1 + noise if option("--device") == "cuda" else 1
    with open(option("--out") + "/log.jsonl", "w") as log:
        for step in range(20):
            log.write(json.dumps({{"step": step, "loss": factor * (2 - step / 20)}}) + "\\n")
"""

PASSED = """echo 'Entering test case "one"'; echo 'Leaving test case "one"; testing time: 3us'"""
# A suite of three cases, the second of which takes the two others' device away, as an access out of bounds does.
BROKEN = """case $1 in
--run_test=gpu_networks)
  [ "$2" = --list_content ] && { printf 'gpu_networks*\\n    one*\\n    two*\\n    three*\\n'; exit 0; }
  echo 'Leaving test case "one"; testing time: 3us'
  echo 'a.cpp(7): error: in "gpu_networks/two": linear 5x7->3: CUDA: an illegal memory access'
  echo 'a.cpp(7): error: in "gpu_networks/three": linear 9x7->3: CUDA: an illegal memory access'
  echo 'Leaving test case "two"; testing time: 3us'; echo 'Leaving test case "three"; testing time: 3us'
  exit 201 ;;
*) echo 'Leaving test case "x"; testing time: 3us' ;;
esac"""
ROW = json.dumps({"row": "rank-1-bf16", "ms": 2.0, "images_per_second": 500.0, "peak_bytes": 1, "batch": 1})


class GpuRun(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="ltrp-gpu-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "bin").mkdir()

    def program(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def programs(self, noise: float = 0.0, off: int = 0, tests: str = PASSED) -> None:
        self.program("ltrp", LTRP.format(python=sys.executable, noise=noise, off=off))
        self.program("ltrp_gpu_tests", f'#!/bin/sh\n[ "$1" != --version ] || exit 0\n{tests}\n')
        rows = "\n".join(
            json.dumps({"row": row, "ms": 2.0, "images_per_second": rate, "peak_bytes": 1 << 30, "batch": 1})
            for row, rate in (("score-decoder-bf16", 2500.0), ("rank-1-bf16", 500.0))
        )
        self.bench(f"cat <<'END'\n{rows}\nEND")

    def bench(self, text: str) -> None:
        self.program(
            "ltrp_bench_cuda",
            f'#!/bin/sh\n[ "$1" != --version ] || exit 2\n'
            f"[ \"$1\" != --device ] || {{ echo 'a device'; exit 0; }}\n{text}\n",
        )

    def run_it(self, *arguments: str, gpu: tuple[str, str] = ("a GPU", "")) -> tuple[int, str]:
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = gpu_run.main([str(self.folder), "--out", str(self.folder / "out"), *arguments], lambda: gpu)
        return status, output.getvalue()

    def report(self) -> dict:
        return json.loads((self.folder / "out/report.json").read_text())

    def checks(self) -> dict[str, tuple[str, str]]:
        return {f"{line['step']}: {line['what']}": (line["state"], line["text"]) for line in self.report()["checks"]}

    def test_no_gpu_is_a_status_of_its_own_and_nothing_is_run(self) -> None:
        self.programs(tests=f"touch {self.folder}/ran")
        status, output = self.run_it(gpu=("", "the driver shows no device"))
        self.assertEqual(status, gpu_run.NO_GPU)
        self.assertIn("the driver shows no device; nothing was run", output)
        self.assertFalse((self.folder / "out").exists())
        self.assertFalse((self.folder / "ran").exists())

    def test_a_folder_without_the_programs(self) -> None:
        status, output = self.run_it()
        self.assertEqual(status, 2)
        self.assertIn("no bin/ltrp;", output)

    def test_programs_that_do_not_start_are_named(self) -> None:
        self.programs()
        text = "error while loading shared libraries: libdnnl.so.99: cannot open shared object file"
        self.program("ltrp_bench_cuda", f"#!/bin/sh\necho '{text}' >&2; exit 127\n")
        status, output = self.run_it(gpu=("", "no driver"))  # seen without a GPU, too
        self.assertEqual(status, 2)
        self.assertIn(f"ltrp_bench_cuda does not start on this machine: {text}", output)

    def test_all_well(self) -> None:
        self.programs(noise=1e-5)
        status, output = self.run_it()
        self.assertEqual(status, 0, output)
        result, checks = self.report(), self.checks()
        table = {entry["work"]: entry for entry in result["figures"]}
        first = table["pseudo-scoring, ViT-B/16, 19 visible, batch 64 or more, bf16"]
        last = table["ViT-S ranker, batch 1, with host copies, bf16"]
        self.assertEqual((first["measured"], first["reached"]), (2500.0, True))
        self.assertEqual((last["measured"], last["reached"]), (2.0, False))  # 2 ms, wanted 0.6
        self.assertIsNone(table["the same, encoder removal"]["measured"])
        self.assertGreater(table["bf16 pseudo-scores against fp32, trained weights, photos"]["measured"], 0.99)
        for check in (
            "operations: gpu_attention",
            "sizes: gpu_sizes",
            "memory: gpu_memory",
            "golden: golden, fp32",
            "training: train, cuda bf16, loss curve beside the CPU's",
        ):
            self.assertEqual(checks[check][0], "ok", checks)
        self.assertIn(
            "20 steps, from 2.0000 to 1.05", checks["training: train, cuda bf16, loss curve beside the CPU's"][1]
        )
        self.assertEqual(len(result["curves"]["pretrain"]["cuda fp32"]), 20)
        self.assertEqual((result["device"], result["running"], result["machine"]["backend"]), ("a GPU", "", "a device"))
        page = (self.folder / "out/report.md").read_text()
        self.assertIn("batch 1, with host copies, bf16 | 0.6 ms | 2 |  |  | no |", page)
        self.assertIn("| sizes | gpu_sizes | ok | 1 cases", page)
        self.assertEqual(
            sorted(path.name for path in (self.folder / "out").iterdir()), ["log.txt", "report.json", "report.md"]
        )

    def test_the_first_look_is_the_parity_half(self) -> None:
        self.programs(noise=1e-5)
        status, output = self.run_it("--first-look")
        self.assertEqual(status, 0, output)
        steps = list(dict.fromkeys(line["step"] for line in self.report()["checks"]))
        self.assertEqual(steps, ["machine", "operations", "networks", "sizes", "images", "golden", "precision"])

    def test_a_failure_is_told_with_its_sizes_and_costs_no_other_case(self) -> None:
        self.programs(tests=BROKEN)
        status, output = self.run_it("--only", "networks", "sizes")
        self.assertEqual(status, 1)
        checks = self.checks()
        self.assertEqual(
            checks["networks: gpu_networks"],
            ("FAIL", "exit status 201: gpu_networks/two: linear 5x7->3: CUDA: an illegal memory access"),
        )
        self.assertEqual(checks["networks: gpu_networks/three"][0], "ok")  # run once more, alone
        self.assertNotIn("networks: gpu_networks/one", checks)
        self.assertEqual(checks["sizes: gpu_sizes"][0], "ok")

    def test_a_suite_that_runs_no_case_is_no_success(self) -> None:
        self.programs(tests="exit 0")
        status, _ = self.run_it("--only", "sizes")
        self.assertEqual((status, self.checks()["sizes: gpu_sizes"][0]), (1, "FAIL"))

    def test_recorded_cases_that_are_off(self) -> None:
        self.programs(off=2)
        status, output = self.run_it("--only", "golden")
        self.assertEqual(status, 1)
        self.assertIn(
            "[FAIL] golden: golden, fp32 - exit status 1: scores.k98: abs 0.25 at 3, 4 tolerance 1e-4", output
        )
        self.assertIn("[ok] golden: golden, tf32 - 7 checks passed, 2 failed by the tolerances of fp32", output)

    def test_rankings_that_are_off(self) -> None:
        self.programs(noise=0.5)
        status, output = self.run_it("--only", "precision", "training")
        self.assertEqual(status, 1)
        self.assertIn("[FAIL] precision: score, bf16", output)
        self.assertRegex(output, r"\[FAIL\] training: .* 50.00 % apart")
        wanted = [entry for entry in self.report()["figures"] if entry["unit"] == "Spearman"][0]
        self.assertFalse(wanted["reached"])

    def test_scores_that_are_no_numbers(self) -> None:
        self.programs(noise=math.nan)
        status, output = self.run_it("--only", "precision")
        self.assertEqual(status, 1)
        self.assertIn("6 lists of scores, expected 6 of finite numbers", output)

    def test_what_time_does_not_allow_is_named_and_no_success(self) -> None:
        self.programs(tests="sleep 30")
        status, output = self.run_it("--only", "operations", "--minutes", "0.05")
        self.assertEqual(status, 1)
        self.assertIn("[not run] operations: gpu_operations - stopped after", output)
        self.assertIn("[not run] operations: gpu_attention - no time was left", output)

    def test_a_step_that_takes_too_long_leaves_the_others_their_time(self) -> None:
        self.programs(tests=f'[ "$1" = --run_test=gpu_networks ] && exec sleep 60; {PASSED}')
        status, output = self.run_it("--only", "networks", "sizes", "images", "--minutes", "0.15")
        self.assertEqual(status, 1)
        checks = self.checks()
        self.assertEqual(checks["networks: gpu_networks"][0], "not run")
        self.assertEqual((checks["sizes: gpu_sizes"][0], checks["images: gpu_images"][0]), ("ok", "ok"))

    def test_what_was_measured_before_time_ran_out_counts(self) -> None:
        self.programs()
        self.bench(f"echo '{ROW}'\nexec sleep 30")
        status, output = self.run_it("--only", "bench", "--minutes", "0.1")
        self.assertEqual(status, 1)
        self.assertIn("[not run] benchmark: ours - stopped after", output)
        self.assertEqual(self.report()["bench"]["rank-1-bf16"]["ms"], 2.0)

    def test_killed_in_the_middle_what_was_measured_is_kept(self) -> None:
        self.programs()
        self.bench(f"echo '{ROW}'\nexec sleep 60")
        code = (
            "import sys; sys.path.insert(0, sys.argv[1]); import gpu_run; "
            "gpu_run.main(sys.argv[2:], lambda: ('a GPU', ''))"
        )
        out = self.folder / "out"
        process = subprocess.Popen(
            [
                sys.executable,
                "-B",
                "-c",
                code,
                str(Path(__file__).parent),
                str(self.folder),
                "--out",
                str(out),
                "--only",
                "images",
                "bench",
            ],
            stdout=subprocess.DEVNULL,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for _ in range(600):
            if (out / "report.json").exists() and "rank-1-bf16" in self.report()["bench"]:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertEqual(self.report()["bench"]["rank-1-bf16"]["ms"], 2.0)
        self.assertEqual(self.checks()["images: gpu_images"][0], "ok")
        self.assertEqual(self.report()["running"], "ours")
        self.assertIn("stopped in: ours", (out / "report.md").read_text())

    def test_an_answer_nobody_thought_of_costs_one_step_alone(self) -> None:
        self.programs()
        self.bench("echo '{\"row\" cut off'")
        status, output = self.run_it("--only", "bench", "golden")
        self.assertEqual(status, 1)
        self.assertIn("[FAIL] bench: what the programs answered - JSONDecodeError", output)
        self.assertEqual(self.checks()["golden: golden, fp32"][0], "ok")

    def test_figures_take_the_best_row_and_judge_the_ratio(self) -> None:
        def row(rate: float) -> dict:
            return {"ms": 64e3 / rate, "images_per_second": rate, "peak_bytes": 1 << 30}

        bench = {"score-decoder-bf16": row(2300.0), "score-decoder-bf16-256": row(2600.0)}
        self.assertEqual(gpu_report.figures(bench)[0]["measured"], 2600.0)
        self.assertTrue(gpu_report.figures(bench)[0]["reached"])
        bench["torch:score-decoder-bf16"] = row(1000.0)
        self.assertEqual(gpu_report.figures(bench)[0]["ratio"], 2.6)
        self.assertFalse(gpu_report.figures(bench)[0]["reached"])  # 5 times PyTorch is wanted

    def test_the_first_failure_of_each_kind_of_program(self) -> None:
        for text, wanted in (
            (BROKEN, "gpu_networks/two: linear 5x7->3: CUDA: an illegal memory access"),
            (
                "=== x\n========= Invalid __global__ read of size 4 bytes\n=========     at norm(float*)",
                "Invalid: __global__ read of size 4 bytes",
            ),
            ("all well", ""),
        ):
            self.assertTrue(gpu_steps.first_failure(text).startswith(wanted), gpu_steps.first_failure(text))
        self.assertEqual(gpu_steps.first_failure("all well"), "")

    def test_what_a_step_leaves_over_is_the_others(self) -> None:
        now = [100.0]
        budget = gpu_tools.Budget(100, {"a": 1, "b": 3, "c": 1}, lambda: now[0])
        self.assertEqual(budget.begin("a"), 20)
        now[0] += 5
        self.assertEqual(budget.begin("b"), 95 * 3 / 4)
        self.assertEqual(budget.left(), 95 * 3 / 4)
        now[0] += 90  # longer than its share
        self.assertEqual(budget.begin("c"), 5)
        now[0] += 10
        self.assertEqual(budget.begin("c"), 0)

    def test_a_program_is_ended_with_what_it_started(self) -> None:
        mark = self.folder / "still there"
        status, output = gpu_tools.call(["sh", "-c", f"(sleep 4; touch '{mark}') & echo started; wait"], 1.5)
        self.assertIsNone(status)
        self.assertIn("started", output)
        time.sleep(4)
        self.assertFalse(mark.exists())

    def test_the_real_probe(self) -> None:
        device, why = gpu_tools.probe()
        self.assertNotEqual(bool(device), bool(why))

    def test_spearman(self) -> None:
        self.assertAlmostEqual(gpu_steps.spearman([1, 2, 3, 4], [10, 20, 30, 40]), 1)
        self.assertAlmostEqual(gpu_steps.spearman([1, 2, 3, 4], [4, 3, 2, 1]), -1)
        self.assertAlmostEqual(gpu_steps.spearman([1, 2, 3, 4], [1, 2, 4, 3]), 0.8)


if __name__ == "__main__":
    unittest.main()
