"""The script tests/gpu/run without a GPU: what it says where there is none, and how it judges what programs answer.

The programs here are small scripts with known answers: what the real ones compute is not this test's business.
"""

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import gpu_run

LTRP = """#!{python}
import json, sys
args, noise = sys.argv[1:], {noise}
option = lambda name: args[args.index(name) + 1]
if args[0] == "golden":
    print("7 checks passed, %d failed" % {off})
    sys.exit(1 if {off} else 0)
if args[0] in ("score", "rank"):
    scores = [((37 * i) % 101) / 101 for i in range(60)]
    if option("--device") == "cuda":
        scores = [s + noise * ((i * 7919) % 13) for i, s in enumerate(scores)]
    json.dump([{{"image": "a", "scores": scores}}] * 3, open(option("--json"), "w"))
if args[0] in ("pretrain", "train"):
    if "--help" in args:
        print("--out DIR {device}")
        sys.exit(0)
    import os
    os.makedirs(option("--out"))
    factor = 1 + noise if option("--device") == "cuda" else 1
    with open(option("--out") + "/log.jsonl", "w") as log:
        for step in range(20):
            log.write(json.dumps({{"step": step, "loss": factor * (2 - step / 20)}}) + "\\n")
"""


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

    def programs(self, noise: float = 0.0, off: int = 0, device: str = "--device NAME", tests: str = "exit 0") -> None:
        self.program("ltrp", LTRP.format(python=sys.executable, noise=noise, off=off, device=device))
        self.program("ltrp_gpu_tests", f"#!/bin/sh\n{tests}\n")
        rows = "\n".join(json.dumps({"row": row, "ms": 2.0, "images_per_second": rate, "peak_bytes": 1 << 30, "batch": 1})
                         for row, rate in (("score-decoder-bf16", 2500.0), ("rank-1-bf16", 500.0)))
        self.program("ltrp_bench_cuda", f"#!/bin/sh\ncat <<'END'\n{rows}\nEND\n")

    def run_it(self, *arguments: str, gpu: tuple[str, str] = ("a GPU", "")) -> tuple[int, str]:
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = gpu_run.main([str(self.folder), *arguments], lambda: gpu)
        return status, output.getvalue()

    def test_no_gpu_is_a_status_of_its_own_and_nothing_is_run(self) -> None:
        self.programs(tests=f"touch {self.folder}/ran")
        status, output = self.run_it("--json", str(self.folder / "out.json"), gpu=("", "the driver shows no device"))
        self.assertEqual(status, gpu_run.NO_GPU)
        self.assertIn("the driver shows no device; nothing was run", output)
        self.assertFalse((self.folder / "out.json").exists())
        self.assertFalse((self.folder / "ran").exists())

    def test_a_folder_without_the_programs(self) -> None:
        status, output = self.run_it()
        self.assertEqual(status, 2)
        self.assertIn("no bin/ltrp;", output)

    def test_all_well(self) -> None:
        self.programs(noise=1e-5)
        path = self.folder / "out.json"
        status, output = self.run_it("--json", str(path))
        self.assertEqual(status, 0, output)
        result = json.loads(path.read_text())
        first, last = result["figures"][0], result["figures"][-1]
        self.assertEqual((first["measured"], first["reached"]), (2500.0, True))
        self.assertEqual((last["measured"], last["reached"]), (2.0, False))   # 2 ms, wanted 0.6
        self.assertIsNone(result["figures"][1]["measured"])
        table = output[output.rindex("a GPU; "):]
        self.assertIn("not measured", table)
        self.assertRegex(table, r"parity: gpu_sizes +ok")
        self.assertRegex(table, r"golden: golden, fp32 +ok +7 checks passed, 0 failed")
        self.assertRegex(table, r"training: train, cuda bf16, .* 20 steps, from 2.0000 to 1.05")
        self.assertEqual(len(result["curves"]["pretrain"]["cuda fp32"]), 20)

    def test_a_failed_suite(self) -> None:
        self.programs(tests='[ "$1" != --run_test=gpu_networks ] || { echo off; exit 201; }')
        status, output = self.run_it("--only", "parity")
        self.assertEqual(status, 1)
        self.assertIn("[FAIL] parity: gpu_networks - exit status 201: off", output)
        self.assertIn("[ok] parity: gpu_sizes", output)

    def test_recorded_cases_that_are_off(self) -> None:
        self.programs(off=2)
        status, output = self.run_it("--only", "golden")
        self.assertEqual(status, 1)
        self.assertIn("[FAIL] golden: golden, fp32 - exit status 1: 7 checks passed, 2 failed", output)
        self.assertIn("[ok] golden: golden, tf32 - 7 checks passed, 2 failed by the tolerances of fp32", output)

    def test_rankings_that_are_off(self) -> None:
        self.programs(noise=0.5)
        status, output = self.run_it("--only", "precision", "training")
        self.assertEqual(status, 1)
        self.assertIn("[FAIL] precision: score, bf16", output)
        self.assertRegex(output, r"\[FAIL\] training: .* 50.00 % apart")

    def test_a_tool_that_cannot_train_there(self) -> None:
        self.programs(device="")
        status, output = self.run_it("--only", "training")
        self.assertEqual(status, 0)
        self.assertIn("[missing] training: loss curve - this build's `ltrp pretrain` has no --device", output)

    def test_what_time_does_not_allow_is_named_and_no_success(self) -> None:
        self.programs(tests="sleep 30")
        status, output = self.run_it("--only", "parity", "--limit", "2")
        self.assertEqual(status, 1)
        self.assertIn("[not run] parity: gpu_operations - stopped after", output)
        self.assertIn("[not run] parity: gpu_networks - no time was left", output)

    def test_what_was_measured_before_time_ran_out_counts(self) -> None:
        self.programs()
        row = json.dumps({"row": "rank-1-bf16", "ms": 2.0, "images_per_second": 500.0, "peak_bytes": 1, "batch": 1})
        self.program("ltrp_bench_cuda", f"#!/bin/sh\necho '{row}'\nexec sleep 30\n")
        path = self.folder / "out.json"
        status, output = self.run_it("--only", "bench", "--limit", "3", "--json", str(path))
        self.assertEqual(status, 1)
        self.assertIn("[not run] benchmark: ours - stopped after", output)
        self.assertEqual(json.loads(path.read_text())["figures"][-1]["measured"], 2.0)

    def test_an_answer_nobody_thought_of_costs_one_step_alone(self) -> None:
        self.programs()
        self.program("ltrp_bench_cuda", "#!/bin/sh\necho '{\"row\" cut off'\n")
        status, output = self.run_it("--only", "bench", "golden")
        self.assertEqual(status, 1)
        self.assertIn("[FAIL] bench: what the programs answered - JSONDecodeError", output)
        self.assertRegex(output[output.rindex("a GPU; "):], r"golden: golden, fp32 +ok")

    def test_libraries_that_are_not_there_are_named(self) -> None:
        self.programs()
        self.program("ldd", "#!/bin/sh\necho '\tlibcublasLt.so.99 => not found'\n")
        kept = os.environ["PATH"]
        self.addCleanup(os.environ.__setitem__, "PATH", kept)
        os.environ["PATH"] = f"{self.folder}/bin:{kept}"
        status, output = self.run_it()
        self.assertEqual(status, 2)
        self.assertIn("libraries that are not on this machine (LD_LIBRARY_PATH helps if they are): libcublasLt.so.99", output)

    def test_the_real_probe(self) -> None:
        device, why = gpu_run.probe()
        self.assertNotEqual(bool(device), bool(why))

    def test_spearman(self) -> None:
        self.assertAlmostEqual(gpu_run.spearman([1, 2, 3, 4], [10, 20, 30, 40]), 1)
        self.assertAlmostEqual(gpu_run.spearman([1, 2, 3, 4], [4, 3, 2, 1]), -1)
        self.assertAlmostEqual(gpu_run.spearman([1, 2, 3, 4], [1, 2, 4, 3]), 0.8)


if __name__ == "__main__":
    unittest.main()
