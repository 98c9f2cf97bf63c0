"""The script tests/gpu/run without a GPU: its output without one, and how it judges the results of programs.

The programs here are small scripts with known answers: what the real ones compute is not this test's business.
"""

import contextlib
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock
from pathlib import Path
from typing import Any

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import gpu_report
import gpu_run
import gpu_steps
import gpu_tools

PATH = os.environ["PATH"]
LTRP = """#!{python}
import json, sys
from math import nan
args, noise = sys.argv[1:], {noise}
if args == ["--version"]:
    sys.exit(0)
option = lambda name: args[args.index(name) + 1]
if args[0] in {fails} and "cuda" in args:
    print("error: CUDA: an illegal memory access")
    sys.exit(1)
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
if args[0] in ("pretrain", "train", "finetune"):
    import os
    os.makedirs(option("--out"))
    factor = 1 + noise if option("--device") == "cuda" else 1
    with open(option("--out") + "/log.jsonl", "w") as log:
        for step in range(20):
            log.write(json.dumps({{"step": step, "loss": factor * (2 - step / 20)}}) + "\\n")
"""

PASSED = """echo 'Entering test case "one"'; echo 'Leaving test case "one"; testing time: 3us'"""
# A suite of three cases; the second one makes the device unusable for the others, like an access out of bounds.
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
# Last lines of compute-sanitizer: memcheck, racecheck.
CLEAN = "========= ERROR SUMMARY: 0 errors\n========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)"
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

    def programs(
        self, noise: float = 0.0, off: int = 0, tests: str = PASSED, fails: tuple[str, ...] = ("none",)
    ) -> None:
        self.program("ltrp", LTRP.format(python=sys.executable, noise=noise, off=off, fails=fails))
        self.program("ltrp_gpu_tests", f'#!/bin/sh\n[ "$1" != --version ] || exit 0\n{tests}\n')
        rows = "\n".join(
            json.dumps({"row": row, "ms": 2.0, "images_per_second": rate, "peak_bytes": 1 << 30, "batch": 1})
            for row, rate in (("score-decoder-bf16", 2500.0), ("rank-1-bf16", 500.0))
        )
        self.bench(f"cat <<'END'\n{rows}\nEND")
        self.sanitizer(f"echo '{CLEAN}'")

    def bench(self, text: str) -> None:
        self.program(
            "ltrp_bench_cuda",
            f'#!/bin/sh\n[ "$1" != --version ] || exit 2\n'
            f"[ \"$1\" != --device ] || {{ echo 'a device'; exit 0; }}\n{text}\n",
        )

    def sanitizer(self, text: str) -> None:
        """Replaces compute-sanitizer, or simulates its absence."""
        path = self.folder / "tools/compute-sanitizer"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho \"$*\" >>'{self.folder}/calls'\n{text}\n")
        path.chmod(0o755)
        self.replace(os.environ, "PATH", f"{path.parent}:{PATH}")

    def peer(self, text: str) -> None:
        """Replaces tests/gpu/torch_cuda.py."""
        path = self.folder / "project/tests/gpu/torch_cuda.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.replace(gpu_steps.__dict__, "ROOT", self.folder / "project")

    def replace(self, where: Any, name: str, value: object) -> None:
        patch = unittest.mock.patch.dict(where, {name: value})
        patch.start()
        self.addCleanup(patch.stop)

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
        status, output = self.run_it(gpu=("", "no driver"))  # detected even without a GPU
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
        self.assertEqual((last["measured"], last["reached"]), (2.0, False))  # 2 ms, required 0.6
        self.assertIsNone(table["the same, encoder removal"]["measured"])
        self.assertGreater(table["bf16 pseudo-scores against fp32, trained weights, photos"]["measured"], 0.99)
        for check in (
            "operations: gpu_attention",
            "sizes: gpu_sizes",
            "memory: gpu_memory",
            "golden: golden, fp32",
            "training: train, cuda bf16, loss curve against the CPU's",
            "training: finetune, cuda bf16, loss curve against the CPU's",
            "sanitizer: memcheck",
            "sanitizer: racecheck",
        ):
            self.assertEqual(checks[check][0], "ok", checks)
        self.assertIn(
            "20 steps, from 2.0000 to 1.05", checks["training: train, cuda bf16, loss curve against the CPU's"][1]
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
        self.assertEqual(checks["networks: gpu_networks/three"][0], "ok")  # run again on its own
        self.assertNotIn("networks: gpu_networks/one", checks)
        self.assertEqual(checks["sizes: gpu_sizes"][0], "ok")

    def test_a_backend_that_does_not_start_fails_the_first_step_alone(self) -> None:
        self.programs()
        self.program(
            "ltrp_bench_cuda",
            "#!/bin/sh\n[ \"$1\" != --version ] || exit 2\necho 'CUDA: no kernel image is available' >&2; exit 1\n",
        )
        status, output = self.run_it("--only", "machine", "sizes")
        self.assertEqual(status, 1)
        checks = self.checks()
        self.assertEqual(
            checks["machine: the CUDA backend starts"], ("FAIL", "exit status 1: CUDA: no kernel image is available")
        )
        self.assertEqual(checks["sizes: gpu_sizes"][0], "ok")
        self.assertIn(f"{os.cpu_count()} cores", self.report()["machine"]["system"])

    def test_each_suite_fails_its_own_step(self) -> None:
        for step, suite in (
            ("operations", "gpu_operations"),
            ("operations", "gpu_attention"),
            ("networks", "gpu_networks"),
            ("sizes", "gpu_sizes"),
            ("images", "gpu_images"),
            ("memory", "gpu_memory"),
        ):
            complaint = f"{suite}/case: norm 5x7: off by 0.5"
            said = complaint.replace(": norm", '": norm', 1)
            failing = f"echo 'a.cpp(7): error: in \"{said}'; exit 201"
            self.programs(tests=f"[ $1 = --run_test={suite} ] && {{ {failing}; }}\n{PASSED}")
            status, _ = self.run_it("--only", "operations", "networks", "sizes", "images", "memory")
            failed = {check: text for check, (state, text) in self.checks().items() if state != "ok"}
            self.assertEqual((status, failed), (1, {f"{step}: {suite}": f"exit status 201: {complaint}"}))

    def test_every_suite_of_the_program_is_run_and_the_reduced_set_is_there(self) -> None:
        cases: dict[str, list[str]] = {}
        for source in sorted(Path(__file__).parent.glob("test_gpu_*.cpp")):
            for kind, name in re.findall(r"BOOST_(?:AUTO|FIXTURE)_TEST_(SUITE|CASE)\((\w+)", source.read_text()):
                if kind == "SUITE":
                    suite = cases.setdefault(name, [])
                else:
                    suite.append(name)
        self.programs(tests=f'echo "$1" >>{self.folder}/suites; {PASSED}')
        self.run_it("--only", "operations", "networks", "sizes", "images", "memory")
        run = [line.removeprefix("--run_test=") for line in (self.folder / "suites").read_text().split()]
        self.assertEqual(sorted(run), sorted(cases))
        for tests in gpu_steps.REDUCED.values():
            for part in tests.split(":"):
                suite_name, _, names = part.partition("/")
                self.assertLessEqual(set(names.split(",")) - {""}, set(cases[suite_name]), tests)

    def test_sanitizers(self) -> None:
        self.programs()
        invalid = "========= Invalid __global__ read of size 4 bytes\n=========     at norm(float*)"
        race = "========= Error: Race reported between Write access and Read access in norm.cu:7"
        for status, text, state, said in (
            (0, CLEAN, "ok", "SUMMARY: 0 errors"),
            (9, f"{invalid}\n========= ERROR SUMMARY: 1 error", "FAIL", "exit status 9: Invalid: __global__ read"),
            # Status 0 is not enough: it may have found something nevertheless, or have checked nothing.
            (0, f"{race}\n========= RACECHECK SUMMARY: 1 hazard displayed (1 error)", "FAIL", "Race reported"),
            (0, "No errors detected", "FAIL", "exit status 1: it gave no summary"),
            (1, "========= Error: Device not supported", "missing", "compute-sanitizer refuses this device"),
        ):
            self.sanitizer(f"cat <<'END'\n{text}\nEND\nexit {status}")
            result, _ = self.run_it("--only", "sanitizers")
            self.assertEqual(result, int(state == "FAIL"))
            for check in ("memcheck", "racecheck"):
                found = self.checks()[f"sanitizer: {check}"]
                self.assertEqual(found[0], state, text)
                self.assertIn(said, found[1])
        calls = (self.folder / "calls").read_text()
        for check, tests in gpu_steps.REDUCED.items():
            self.assertRegex(calls, f"--tool {check} --error-exitcode 9 .*/ltrp_gpu_tests --run_test={tests} ")

    def test_a_sanitizer_that_takes_too_long_leaves_the_other_its_time(self) -> None:
        self.programs()
        self.sanitizer(f"[ $2 = memcheck ] && exec sleep 60\necho '{CLEAN}'")
        status, _ = self.run_it("--only", "sanitizers", "--minutes", "0.15")
        self.assertEqual(status, 1)
        self.assertEqual(self.checks()["sanitizer: memcheck"][0], "not run")
        self.assertEqual(self.checks()["sanitizer: racecheck"][0], "ok")

    def test_a_row_that_fails_does_not_take_the_others_along(self) -> None:
        self.programs()
        self.bench(f"echo 'rank-256-bf16: CUDA: out of memory' >&2; echo '{ROW}'; exit 1")
        self.peer("print('left out: no torch'); raise SystemExit(3)")
        status, output = self.run_it("--only", "bench")
        self.assertEqual(status, 1)
        self.assertEqual(self.report()["bench"]["rank-1-bf16"]["ms"], 2.0)
        self.assertEqual(self.checks()["benchmark: ours"][0], "FAIL")
        self.assertIn("rank-256-bf16: CUDA: out of memory", output)
        self.assertEqual(self.checks()["benchmark: PyTorch"], ("missing", "left out: no torch"))

    def test_a_benchmark_without_rows_is_no_success(self) -> None:
        self.programs()
        self.bench("echo nothing")
        self.peer("print('left out: no torch'); raise SystemExit(3)")
        status, _ = self.run_it("--only", "bench")
        self.assertEqual((status, self.checks()["benchmark: ours"]), (1, ("FAIL", "it printed no row: nothing")))

    def test_rows_of_pytorch_stand_beside_ours(self) -> None:
        self.programs()
        self.peer(f"print({ROW.replace('2.0', '3.0')!r})")
        status, output = self.run_it("--only", "bench")
        self.assertEqual(status, 0, output)
        figure = [entry for entry in self.report()["figures"] if "batch 1," in entry["work"]][0]
        self.assertEqual((figure["measured"], figure["pytorch"], figure["ratio"]), (2.0, 3.0, 1.5))
        self.assertEqual(self.checks()["benchmark: PyTorch"], ("ok", "1 rows"))
        self.peer("raise RuntimeError('CUDA error: out of memory')")
        status, _ = self.run_it("--only", "bench")
        self.assertEqual(status, 1)
        self.assertEqual(
            self.checks()["benchmark: PyTorch"], ("FAIL", "exit status 1: RuntimeError: CUDA error: out of memory")
        )

    def test_programs_that_fail_on_the_gpu(self) -> None:
        self.programs(fails=("golden", "score", "train"))
        status, _ = self.run_it("--only", "golden", "precision", "training")
        self.assertEqual(status, 1)
        checks = self.checks()
        for check in (
            "golden: golden, fp32",
            "golden: golden, tf32",  # only failures due to rounding do not count
            "precision: score, bf16 against fp32 on the CPU",
            "training: train, fp32 on cuda",
        ):
            self.assertEqual(checks[check], ("FAIL", "exit status 1: error: CUDA: an illegal memory access"))
        for check in (
            "precision: rank, bf16 against fp32 on the CPU",
            "training: pretrain, cuda bf16, loss curve against the CPU's",
        ):
            self.assertEqual(checks[check][0], "ok")

    def test_loss_curves(self) -> None:
        falling, flat = [2 - step / 20 for step in range(20)], [2.0] * 20
        for kind, cpu, cuda, state in (
            ("pretrain", falling, falling, "ok"),
            ("pretrain", falling, [loss * 1.004 for loss in falling], "ok"),
            ("pretrain", falling, [loss * 1.006 for loss in falling], "FAIL"),
            ("pretrain", flat, flat, "FAIL"),  # it does not learn
            ("finetune", flat, flat, "FAIL"),
            ("train", flat, flat, "ok"),
            ("train", falling, falling[:-1], "FAIL"),
            ("train", falling[:5], falling[:5], "FAIL"),  # too few to tell
            ("train", falling, [], "FAIL"),
            ("train", falling, [*falling[:7], math.nan, *falling[8:]], "FAIL"),
        ):
            report = gpu_report.Report("a GPU")
            run = gpu_steps.Run(self.folder / "bin", [], report, gpu_tools.Budget(1, {}))
            with contextlib.redirect_stdout(io.StringIO()):
                gpu_steps.compare_curves(run, kind, {"cpu fp32": cpu, "cuda fp32": cuda, "cuda bf16": cpu})
            self.assertEqual(report.lines[0].state, state, (kind, cuda))

    def test_less_memory_is_better(self) -> None:
        def figure(gib: float) -> dict:
            row = {"ms": 1.0, "images_per_second": 2500.0, "peak_bytes": gib * 2**30}
            return [entry for entry in gpu_report.figures({"train-rank-bf16": row}) if entry["unit"] == "GiB"][0]

        self.assertEqual((figure(15.5)["measured"], figure(15.5)["reached"]), (15.5, True))
        self.assertFalse(figure(16.5)["reached"])

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

    def test_an_unexpected_answer_costs_only_one_step(self) -> None:
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
        self.assertFalse(gpu_report.figures(bench)[0]["reached"])  # 5 times PyTorch's rate is required

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
