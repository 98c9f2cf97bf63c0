"""The steps of tests/gpu/run: the programs each starts, and how it judges the results."""

import json
import math
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from gpu_report import Report
from gpu_tools import NO_GPU, ROOT, Budget, call, last_line

# Runs of the sanitizers: every kernel once, at the sizes of the list of operations. They take many times as long.
REDUCED = {
    "memcheck": "gpu_operations/fp32,bf16,gradients:gpu_networks",
    "racecheck": "gpu_operations/fp32,bf16,gradients",
}
PHOTOS = 24  # photos whose pseudo-scores and rankings are compared


@dataclass
class Run:
    """State shared by the steps."""

    bin: Path
    golden: list[Path]
    report: Report
    budget: Budget
    env: dict[str, str] | None = None
    photos: list[Path] = field(default_factory=lambda: sorted((ROOT / "samples" / "photos").glob("*.jpg")))

    def call(
        self,
        command: list[Any],
        limit: float = 600,
        each: Callable[[str], None] | None = None,
        env: dict[str, str] | None = None,
    ) -> tuple[int | None, str]:
        start = time.monotonic()
        status, output = call(command, min(limit, self.budget.left()), each, env or self.env)
        self.report.log(
            f"$ {' '.join(str(part) for part in command)}\n{output}\n"
            f"exit status {status} after {time.monotonic() - start:.1f} s\n\n"
        )
        return status, output

    def verdict(self, step: str, what: str, status: int | None, output: str, good: str = "") -> bool:
        if status == 0:
            self.report.add(step, what, "ok", good)
        elif status is None:
            self.report.add(
                step, what, "not run", (first_failure(output) or last_line(output)) if "\n" in output else output
            )
        else:
            # After an access out of bounds everything in that process fails: only the first failure matters.
            print(output if len(output) <= 4000 else f"{output[:2000]}\n[...]\n{output[-2000:]}", flush=True)
            self.report.add(step, what, "FAIL", f"exit status {status}: {first_failure(output) or last_line(output)}")
        return status == 0


def first_failure(output: str) -> str:
    """The first complaint of a Boost.Test program, a sanitizer or recorded cases: it names operation and sizes."""
    for pattern in (
        r'(?:fatal )?error: in "([^"]+)": (.*)',
        r"^=+ (Invalid|Error|Warning|Program hit|Race reported|Uninitialized)(.*)",
        r"^ +FAIL +(\S.*?) {2,}(\S.*)",
    ):
        found = re.search(pattern, output, re.MULTILINE)
        if found:
            return re.sub(r"\s+", " ", ": ".join(found.groups()))[:300]
    return ""


def machine(run: Run) -> None:
    """Prints the device; judges nothing."""
    facts = run.report.machine
    facts["system"] = f"{platform.platform()}, {os.cpu_count()} cores"
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            facts["processor"] = line.partition(":")[2].strip()
            break
    status, output = run.call([run.bin / "ltrp_bench_cuda", "--device"], 60)
    run.verdict("machine", "the CUDA backend starts", status, output, last_line(output))
    facts["backend"] = last_line(output)
    for name, command in (
        (
            "GPU",
            [
                "nvidia-smi",
                "--query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit",
                "--format=csv,noheader",
            ],
        ),
        ("PyTorch", [sys.executable, "-c", "import importlib.metadata as m; print(m.version('torch'))"]),
    ):
        status, output = run.call(command, 60, env=dict(os.environ))
        facts[name] = last_line(output) if status == 0 else f"not there ({last_line(output)})"
    parcel = ROOT / "parcel.json"
    if parcel.is_file():
        facts["parcel"] = json.dumps(json.loads(parcel.read_text()))
    run.report.write()


def suites(step: str, *names: str) -> Callable[[Run], None]:
    """A step of test suites, each in a separate process; cases lost by another's failure are run again alone."""

    def work(run: Run) -> None:
        for suite in names:
            passed, first = cases_of(run, step, suite)
            if first:
                status, listed = run.call([run.bin / "ltrp_gpu_tests", f"--run_test={suite}", "--list_content"])
                for case in re.findall(r"^ +(\w+)\*?$", listed, re.MULTILINE) if status == 0 else []:
                    if case not in passed and case != first:
                        cases_of(run, step, f"{suite}/{case}")

    return work


def cases_of(run: Run, step: str, what: str) -> tuple[list[str], str]:
    """(cases that passed, the first that failed)"""
    start, done, failed = time.monotonic(), [], []

    def each(line: str) -> None:
        left = re.search(r'Leaving test case "([^"]+)"', line)
        wrong = re.search(r'error: in "([^"]+)"', line)
        if wrong:
            failed.append(wrong.group(1).rpartition("/")[2])
        if left:
            done.append(left.group(1))
            run.report.progress(f"{what}: {len(done)} cases done, the last one {done[-1]}")

    run.report.progress(what)
    status, output = run.call(
        [run.bin / "ltrp_gpu_tests", f"--run_test={what}", "--log_level=test_suite", "--report_level=short"], each=each
    )
    if status == 0 and not done:
        status, output = 1, f"{output}\nno case was run"
    run.verdict(step, what, status, output, f"{len(done)} cases, {time.monotonic() - start:.0f} s")
    return [case for case in done if case not in failed], failed[0] if failed else ""


def golden(run: Run) -> None:
    for folder in run.golden:
        for precision in ("fp32", "tf32"):
            run.report.progress(f"{folder.name}, {precision}")
            status, output = run.call(
                [run.bin / "ltrp", "golden", folder, "--device", "cuda", "--precision", precision]
            )
            said = last_line(output)
            if precision == "tf32" and status == 1 and said.endswith(" failed"):
                # Its rounding alone exceeds most fp32 tolerances: the number within tolerance is reported, not judged.
                run.report.add("golden", f"{folder.name}, tf32", "ok", f"{said} by the tolerances of fp32")
            else:
                run.verdict("golden", f"{folder.name}, {precision}", status, output, said)


def ranks(values: list[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    result = [0.0] * len(values)
    for place, index in enumerate(order):
        result[index] = place
    return result


def spearman(a: list[float], b: list[float]) -> float:
    ra, rb = ranks(a), ranks(b)
    mean = (len(a) - 1) / 2
    top = sum((x - mean) * (y - mean) for x, y in zip(ra, rb))
    return top / sum((x - mean) ** 2 for x in ra)


def precision(run: Run) -> None:
    """Trained weights and photos: differences of scores and rankings between the GPU and the CPU in fp32."""
    photos = run.photos[:PHOTOS]
    with tempfile.TemporaryDirectory(prefix="ltrp-gpu-") as folder:

        def scores(command: str, device: str, name: str, what: str) -> list[list[float]]:
            """One list per photo; none, and a line in the report, if the program fails."""
            out = Path(folder) / f"{command}-{device}-{name}.json"
            ways = ["--device", device, "--precision", name, "--json", out]
            ways += ["--masks", "4"] if command == "score" else []
            status, output = run.call([run.bin / "ltrp", command, *photos, *ways])
            if status != 0:
                run.verdict("precision", what, status, output)
                return []
            found = [entry["scores"] for entry in json.loads(out.read_text())]
            if len(found) == len(photos) and all(math.isfinite(value) for values in found for value in values):
                return found
            text = f"{len(found)} lists of scores, expected {len(photos)} of finite numbers"
            run.report.add("precision", what, "FAIL", text)
            return []

        for command, least in (("score", 0.99), ("rank", 0.99)):
            run.report.progress(f"{command} on the CPU")
            want = scores(command, "cpu", "fp32", f"{command}, fp32 on the CPU")
            for name in ("fp32", "bf16", "fp16", "tf32") if want else ():
                what = f"{command}, {name} against fp32 on the CPU"
                got = scores(command, "cuda", name, what)
                if got:
                    mean = sum(spearman(a, b) for a, b in zip(got, want)) / len(want)
                    row = f"spearman-{command}-{name}"
                    run.report.row(row, {"row": row, "spearman": mean})
                    text = f"Spearman {mean:.5f} on average over {len(want)} photos, at least {least}"
                    run.report.add("precision", what, "ok" if mean >= least else "FAIL", text)


def losses(path: Path) -> list[float]:
    return [entry["loss"] for entry in map(json.loads, path.read_text().splitlines()) if "loss" in entry]


def training(run: Run) -> None:
    """Short runs on the photos, the same on both: same crops, same masks, so that the curves agree."""
    ways = "--batch 4 --accumulate 1 --epochs 40 --warmup-epochs 4 --lr 0.002 --seed 1 --log-every 1".split()
    small = "--embed-dim 64 --depth 2 --heads 2".split()
    size = "--size 64 --patch 8".split()
    decoder = "--decoder-embed-dim 64 --decoder-depth 1 --decoder-heads 2".split()
    kept = "--init none --keep 0.3..0.6 --selector gradient,random".split()
    photos = [path for path in run.photos if path.is_relative_to(ROOT / "samples")] or run.photos[:6]
    with tempfile.TemporaryDirectory(prefix="ltrp-gpu-") as name:
        folder = Path(name)
        teacher = folder / "pretrain-cpu-fp32" / "final.safetensors"
        labels = folder / "labels.csv"
        labels.write_text("".join(f"{photo},{'abc'[i % 3]}\n" for i, photo in enumerate(photos)))
        kinds: dict[str, list[Any]] = {
            "pretrain": [*photos, *small, *size, *decoder],
            "train": [*photos, *small, "--mae", teacher],
            "finetune": [labels, *small, *size, *kept],
        }
        for kind, options in kinds.items():
            curves = {}
            for device, precision in (("cpu", "fp32"), ("cuda", "fp32"), ("cuda", "bf16")):
                run.report.progress(f"{kind} on {device} in {precision}")
                out = folder / f"{kind}-{device}-{precision}"
                command = [run.bin / "ltrp", kind, *options, "--out", out, "--device", device, "--precision", precision]
                status, output = run.call([*command, *ways])
                if status != 0:
                    run.verdict("training", f"{kind}, {precision} on {device}", status, output)
                    break
                curves[f"{device} {precision}"] = losses(out / "log.jsonl")
            if len(curves) == 3:
                compare_curves(run, kind, curves)


def compare_curves(run: Run, kind: str, curves: dict[str, list[float]]) -> None:
    """In fp32 both round differently and training carries that on; in bf16 every factor is rounded. On a CPU, bf16
    against fp32 is 0.03 % apart in pretraining and 9 % in ranking, whose loss looks at an order alone."""
    run.report.curves[kind] = curves
    cpu = curves["cpu fp32"]
    bounds = {"pretrain": (0.005, 0.02), "train": (0.02, 0.3), "finetune": (0.02, 0.2)}[kind]
    for name, bound in zip(("cuda fp32", "cuda bf16"), bounds):
        cuda = curves[name]
        worst = max((abs(a - b) / abs(a) for a, b in zip(cpu, cuda)), default=1.0)
        good = len(cpu) == len(cuda) and len(cpu) >= 10 and worst <= bound
        good = good and all(map(math.isfinite, cuda))  # max() ignores NaN
        # A ranker's lists differ from step to step, so its curve need not fall.
        good = good and (kind == "train" or cuda[-1] < 0.9 * cuda[0])
        ends = f"from {cuda[0]:.4f} to {cuda[-1]:.4f}, " if cuda else ""
        run.report.add(
            "training",
            f"{kind}, {name}, loss curve against the CPU's",
            "ok" if good else "FAIL",
            f"{len(cuda)} steps, {ends}{100 * worst:.2f} % apart at most, {100 * bound:g} % allowed",
        )


def bench(run: Run) -> None:
    def rows(prefix: str) -> tuple[list[str], Callable[[str], None]]:
        seen: list[str] = []

        def each(line: str) -> None:
            if line.startswith('{"row"'):
                row = json.loads(line)
                seen.append(row["row"])
                run.report.row(prefix + row["row"], row)
                print(f"  {prefix}{line}", flush=True)

        return seen, each

    half = run.budget.left() * 0.45
    for what, command, limit, env in (
        ("ours", [run.bin / "ltrp_bench_cuda"], half, None),
        ("PyTorch", [sys.executable, ROOT / "tests/gpu/torch_cuda.py"], 600, dict(os.environ)),
    ):
        run.report.progress(what)
        seen, each = rows("" if what == "ours" else "torch:")
        status, output = run.call(command, limit, each, env)
        if what == "PyTorch" and status == NO_GPU:
            run.report.add("benchmark", what, "missing", last_line(output))
        elif status == 0 and not seen:
            run.report.add("benchmark", what, "FAIL", f"it printed no row: {last_line(output)}")
        else:
            run.verdict("benchmark", what, status, output, f"{len(seen)} rows")


def sanitizers(run: Run) -> None:
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    for check, suites in REDUCED.items():
        if not Path(tool).exists():
            run.report.add("sanitizer", check, "missing", "no compute-sanitizer on PATH or in /usr/local/cuda/bin")
            continue
        run.report.progress(check)
        limit = run.budget.left() / 2 if check == "memcheck" else 600
        tests = [run.bin / "ltrp_gpu_tests", f"--run_test={suites}", "--report_level=short"]
        status, output = run.call([tool, "--tool", check, "--error-exitcode", "9", *tests], limit)
        if status and "Device not supported" in output:  # as under gVisor
            run.report.add("sanitizer", check, "missing", "compute-sanitizer refuses this device")
            continue
        # It may end with status 0 without having checked anything; its last line contains the result.
        summary = re.search(r"SUMMARY: (\d+) (?:error|hazard).*", output)
        if status == 0 and not (summary and int(summary.group(1)) == 0):
            status, output = 1, output if summary else f"{output}\nit gave no summary"
        run.verdict("sanitizer", check, status, output, summary.group(0) if summary else "")


@dataclass(frozen=True)
class Step:
    share: float  # share of the total time
    look: bool  # part of the quick look
    work: Callable[[Run], None]


STEPS = {
    "machine": Step(3, True, machine),
    "operations": Step(12, True, suites("operations", "gpu_operations", "gpu_attention")),
    "networks": Step(6, True, suites("networks", "gpu_networks")),
    "sizes": Step(8, True, suites("sizes", "gpu_sizes")),
    "images": Step(5, True, suites("images", "gpu_images")),
    "golden": Step(8, True, golden),
    "precision": Step(10, True, precision),
    "bench": Step(22, False, bench),
    "memory": Step(4, False, suites("memory", "gpu_memory")),
    "sanitizers": Step(14, False, sanitizers),
    "training": Step(8, False, training),
}
