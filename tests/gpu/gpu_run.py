"""Everything that needs a GPU, in one go of under ten minutes and without network; a table comes last.

tests/gpu/run [BUILD]: BUILD is a build folder made with -DLTRP_WITH_CUDA=ON -DLTRP_BUILD_TESTS=ON; without one, build-gpu/
is made, for the GPU at hand. Exit status: 0 all is well, 1 something failed or was not reached, 2 wrong options,
3 there is no GPU (then nothing was done).
"""

import argparse
import ctypes
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parents[2]
NO_GPU = 3
TARGETS = ("ltrp", "ltrp_gpu_tests", "ltrp_bench_cuda")
SUITES = ("gpu_operations", "gpu_attention", "gpu_networks", "gpu_sizes", "gpu_images")
# What the sanitizers run: every kernel once, at the sizes of the list of operations. They take many times as long.
REDUCED = {"memcheck": "gpu_operations/fp32,bf16,gradients:gpu_networks", "racecheck": "gpu_operations/fp32,bf16,gradients"}


@dataclass
class Figure:
    """A row of the benchmark: what is wanted of it, and what the peer's row is called."""

    title: str
    row: str
    unit: str  # "images/s": more is better; "ms" and "GiB": less
    wanted: float
    peer: str = ""
    ratio: float = 0  # wanted against the peer


FIGURES = (
    Figure("pseudo-scoring, ViT-B/16, 19 visible, batch 64", "score-decoder-bf16", "images/s", 2000, "score-decoder-bf16", 5),
    Figure("the same, encoder removal", "score-encoder-bf16", "images/s", 1500, "score-encoder-bf16"),
    Figure("the same as the first, fp32 (batch 16)", "score-decoder-fp32", "images/s", 0),
    Figure("the same as the first, tf32", "score-decoder-tf32", "images/s", 0),
    Figure("ranker training step, ViT-S, batch 256", "train-rank-bf16", "images/s", 1900),
    Figure("its peak device memory", "train-rank-bf16", "GiB", 16),
    Figure("autoencoder pretraining, ViT-B/16, 75 % hidden", "pretrain-bf16", "images/s", 4000),
    Figure("ViT-S ranker, batch 256", "rank-256-bf16", "images/s", 0, "rank-256-bf16", 1.2),
    Figure("ViT-S ranker, batch 1, with host copies", "rank-1-bf16", "ms", 0.6),
)


@dataclass
class Line:
    step: str
    what: str
    state: str  # ok, FAIL, missing, not run
    text: str = ""


@dataclass
class Run:
    """What the steps share."""

    bin: Path
    golden: list[Path]
    until: float  # time.monotonic() when the last step must have ended
    photos: Path = ROOT / "samples" / "photos"
    lines: list[Line] = field(default_factory=list)
    bench: dict[str, dict] = field(default_factory=dict)
    curves: dict[str, dict] = field(default_factory=dict)

    def add(self, step: str, what: str, state: str, text: str = "") -> None:
        self.lines.append(Line(step, what, state, text))
        print(f"[{state}] {step}: {what}{' - ' + text if text else ''}", flush=True)

    def left(self) -> float:
        return self.until - time.monotonic()


def probe() -> tuple[str, str]:
    """(name of the GPU and version of its driver, "") or ("", why there is none)."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "", "no NVIDIA driver is installed (libcuda.so.1 is not there)"
    status = cuda.cuInit(0)
    count, driver = ctypes.c_int(0), ctypes.c_int(0)
    if status == 0:
        status = cuda.cuDeviceGetCount(ctypes.byref(count))
    if status != 0 or count.value == 0:
        return "", f"the NVIDIA driver shows no device (CUDA error {status})" if status else "the NVIDIA driver shows no device"
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGetName(name, 255, 0)
    cuda.cuDriverGetVersion(ctypes.byref(driver))
    return f"{name.value.decode()}, driver for CUDA {driver.value // 1000}.{driver.value % 1000 // 10}", ""


def call(run: Run, command: list, limit: float, **more) -> tuple[int | None, str]:
    """Exit status (None: out of time) and what was printed so far, errors among it."""
    limit = min(limit, run.left())
    if limit <= 1:
        return None, "no time was left"
    try:
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=limit, **more)
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
        return None, f"{said.decode(errors='replace') if isinstance(said, bytes) else said}\nstopped after {limit:.0f} s"
    except OSError as error:
        return 127, str(error)
    return done.returncode, done.stdout


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "it said nothing"


def verdict(run: Run, step: str, what: str, status: int | None, output: str, good: str = "") -> bool:
    if status == 0:
        run.add(step, what, "ok", good)
    elif status is None:
        run.add(step, what, "not run", last_line(output))
    else:
        # The first thing that went wrong matters most: after an access out of bounds everything in that process fails.
        print(output if len(output) <= 8000 else f"{output[:4000]}\n[...]\n{output[-4000:]}", flush=True)
        run.add(step, what, "FAIL", f"exit status {status}: {last_line(output)}")
    return status == 0


def parity(run: Run) -> None:
    for suite in SUITES:
        start = time.monotonic()
        status, output = call(run, [run.bin / "ltrp_gpu_tests", f"--run_test={suite}", "--report_level=short"], 110)
        verdict(run, "parity", suite, status, output, f"{time.monotonic() - start:.0f} s")


def golden(run: Run) -> None:
    for folder in run.golden:
        for precision in ("fp32", "tf32"):
            status, output = call(run, [run.bin / "ltrp", "golden", folder, "--device", "cuda", "--precision", precision], 90)
            said = last_line(output)
            if precision == "tf32" and status == 1 and said.endswith(" failed"):
                # Its rounding alone is more than most tolerances of fp32: how many are met is told, not judged.
                run.add("golden", f"{folder.name}, tf32", "ok", f"{said} by the tolerances of fp32")
            else:
                verdict(run, "golden", f"{folder.name}, {precision}", status, output, said)


def sanitizers(run: Run) -> None:
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    for check in ("memcheck", "racecheck"):
        if not Path(tool).exists():
            run.add("sanitizer", check, "missing", "no compute-sanitizer on PATH or in /usr/local/cuda/bin")
            continue
        status, output = call(run, [tool, "--tool", check, "--error-exitcode", "9", run.bin / "ltrp_gpu_tests",
                                    f"--run_test={REDUCED[check]}", "--report_level=short"], 200)
        if status and "Device not supported" in output:   # as under gVisor
            run.add("sanitizer", check, "missing", "compute-sanitizer refuses this device")
        else:
            verdict(run, "sanitizer", check, status, output)


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
    """Trained weights and photos: how far rankings on the GPU are from those of the CPU in fp32."""
    with tempfile.TemporaryDirectory(prefix="ltrp-gpu-") as folder:
        def scores(command: str, device: str, name: str) -> list[list[float]] | str:
            out = Path(folder) / f"{command}-{device}-{name}.json"
            more = ["--masks", "4"] if command == "score" else []
            status, output = call(run, [run.bin / "ltrp", command, run.photos, "--device", device, "--precision", name,
                                        "--json", out, *more], 60)
            if status != 0:
                return output
            return [entry["scores"] for entry in json.loads(out.read_text())]

        for command, least in (("score", 0.99), ("rank", 0.99)):
            want = scores(command, "cpu", "fp32")
            for name in ("fp32", "tf32", "bf16", "fp16"):
                got = scores(command, "cuda", name) if not isinstance(want, str) else want
                what = f"{command}, {name} against fp32 on the CPU"
                if isinstance(got, str):
                    verdict(run, "precision", what, 1, got)
                    continue
                mean = sum(spearman(a, b) for a, b in zip(got, want)) / len(want)
                run.add("precision", what, "ok" if mean >= least else "FAIL",
                        f"Spearman {mean:.5f} on average over {len(want)} photos, at least {least}")


def losses(path: Path) -> list[float]:
    return [entry["loss"] for entry in map(json.loads, path.read_text().splitlines()) if "loss" in entry]


def training(run: Run) -> None:
    """Short runs on the photos, the same on both: same crops, same masks, so that the curves lie on each other."""
    ways = ["--batch", "4", "--accumulate", "1", "--epochs", "40", "--warmup-epochs", "4", "--lr", "0.002", "--seed", "1",
            "--log-every", "1"]
    small = ["--embed-dim", "64", "--depth", "2", "--heads", "2"]
    status, output = call(run, [run.bin / "ltrp", "pretrain", "--help"], 20)
    if status != 0 or "--device" not in output:
        run.add("training", "loss curve", "missing", "this build's `ltrp pretrain` has no --device")
        return
    with tempfile.TemporaryDirectory(prefix="ltrp-gpu-") as name:
        folder = Path(name)
        teacher = folder / "pretrain-cpu-fp32" / "final.safetensors"
        kinds = {"pretrain": [*small, "--size", "64", "--patch", "8", "--decoder-embed-dim", "64", "--decoder-depth", "1",
                              "--decoder-heads", "2"], "train": [*small, "--mae", teacher]}
        for kind, options in kinds.items():
            curves = {}
            for device, precision in (("cpu", "fp32"), ("cuda", "fp32"), ("cuda", "bf16")):
                out = folder / f"{kind}-{device}-{precision}"
                command = [run.bin / "ltrp", kind, run.photos, "--out", out, "--device", device, "--precision", precision]
                status, output = call(run, [*command, *ways, *options], 60)
                if status != 0:
                    verdict(run, "training", f"{kind}, {precision} on {device}", status, output)
                    break
                curves[f"{device} {precision}"] = losses(out / "log.jsonl")
            if len(curves) == 3:
                compare_curves(run, kind, curves)


def compare_curves(run: Run, kind: str, curves: dict[str, list[float]]) -> None:
    """In fp32 both round differently and training carries that on; in bf16 every factor is rounded. On a CPU, bf16 against fp32
    is 0.03 % apart in pretraining and 9 % in ranking, whose loss looks at an order alone."""
    run.curves[kind] = curves
    cpu = curves["cpu fp32"]
    print(f"{kind}: loss by step, " + ", ".join(curves))
    for step in range(0, len(cpu), max(1, len(cpu) // 8)):
        print(f"  {step + 1:4}  " + "  ".join(f"{curve[step]:.5f}" if step < len(curve) else "-" for curve in curves.values()))
    bounds = {"pretrain": (0.005, 0.02), "train": (0.02, 0.3)}[kind]
    for name, bound in zip(("cuda fp32", "cuda bf16"), bounds):
        cuda = curves[name]
        worst = max((abs(a - b) / abs(a) for a, b in zip(cpu, cuda)), default=1.0)
        good = len(cpu) == len(cuda) and len(cpu) >= 10 and worst <= bound
        good = good and (kind == "train" or cuda[-1] < 0.9 * cuda[0])   # each step's list is another one: no curve to fall
        ends = f"from {cuda[0]:.4f} to {cuda[-1]:.4f}, " if cuda else ""
        run.add("training", f"{kind}, {name}, loss curve beside the CPU's", "ok" if good else "FAIL",
                f"{len(cuda)} steps, {ends}{100 * worst:.2f} % apart at most, {100 * bound:g} % allowed")


def bench(run: Run) -> None:
    status, output = call(run, [run.bin / "ltrp_bench_cuda"], 120)
    for line in output.splitlines():
        if line.startswith('{"row"'):
            row = json.loads(line)
            run.bench[row["row"]] = row
    verdict(run, "benchmark", "ours", status, output, f"{len(run.bench)} rows")
    status, output = call(run, [sys.executable, Path(__file__).parent / "torch_cuda.py"], 150)
    if status == NO_GPU:
        run.add("benchmark", "PyTorch", "missing", last_line(output))
        return
    count = 0
    for line in output.splitlines():
        if line.startswith('{"row"'):
            row = json.loads(line)
            run.bench["torch:" + row["row"]] = row
            count += 1
    verdict(run, "benchmark", "PyTorch", status, output, f"{count} rows")


STEPS: dict[str, Callable[[Run], None]] = {"parity": parity, "golden": golden, "precision": precision, "training": training,
                                           "bench": bench, "sanitizers": sanitizers}


def value_of(row: dict | None, unit: str) -> float | None:
    if row is None:
        return None
    return {"images/s": row["images_per_second"], "ms": row["ms"], "GiB": row.get("peak_bytes", 0) / 2 ** 30}[unit]


def figures(run: Run) -> list[dict]:
    table = []
    for figure in FIGURES:
        ours = value_of(run.bench.get(figure.row), figure.unit)
        peer = value_of(run.bench.get("torch:" + figure.peer), figure.unit) if figure.peer else None
        entry = {"work": figure.title, "unit": figure.unit, "wanted": figure.wanted, "measured": ours, "pytorch": peer}
        if ours and peer:
            entry["ratio"] = ours / peer if figure.unit == "images/s" else peer / ours
            entry["ratio_wanted"] = figure.ratio
        if ours is not None and figure.wanted:
            entry["reached"] = ours >= figure.wanted if figure.unit == "images/s" else ours <= figure.wanted
        table.append(entry)
    return table


def text_of(run: Run, device: str, seconds: float) -> str:
    def number(value: float | None) -> str:
        return "not measured" if value is None else f"{value:.4g}"

    rows = [("work", "unit", "wanted", "measured", "PyTorch", "ratio")]
    for entry in figures(run):
        ratio = f"{entry['ratio']:.2f}" if "ratio" in entry else ""
        if entry.get("ratio_wanted"):
            ratio += f" (wanted {entry['ratio_wanted']:g})"
        rows.append((entry["work"], entry["unit"], f"{entry['wanted']:g}" if entry["wanted"] else "", number(entry["measured"]),
                     "" if entry["pytorch"] is None else number(entry["pytorch"]), ratio))
    for line in run.lines:
        rows.append((f"{line.step}: {line.what}", "", "", line.state, "", line.text))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [f"{device}; {time.strftime('%Y-%m-%d')}; {seconds:.0f} s"]
    lines += ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[5]]).rstrip() for row in rows]
    return "\n".join(lines)


def build(folder: Path) -> bool:
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DLTRP_WITH_CUDA=ON", "-DLTRP_BUILD_TESTS=ON", "-DCMAKE_CUDA_ARCHITECTURES=native"]
    return (subprocess.run(["cmake", "-S", ROOT, "-B", folder, *options]).returncode == 0 and
            subprocess.run(["cmake", "--build", folder, "--parallel", "--target", *TARGETS]).returncode == 0)


def libraries(programs: list[Path]) -> list[str]:
    """Those that the programs miss. A cuBLASLt that lies with the toolkit or with PyTorch alone is found for them."""
    def lacks() -> set[str]:
        said = [subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
                for path in programs]
        return {line.split()[0] for text in said for line in text.splitlines() if "=> not found" in line}

    places = ["/usr/local/cuda/lib64", "/usr/local/cuda/targets/x86_64-linux/lib",
              *(folder for entry in sys.path if entry for folder in glob.glob(f"{entry}/nvidia/*/lib"))]
    for name in sorted(lacks()):
        for place in places:
            if (Path(place) / name).exists():
                os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, (os.environ.get("LD_LIBRARY_PATH"), place)))
                break
    return sorted(lacks())


def write_json(path: Path, content: dict) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=1) + "\n")
    part.replace(path)


def main(arguments: list[str], gpu: Callable[[], tuple[str, str]] = probe) -> int:
    parser = argparse.ArgumentParser(prog="tests/gpu/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", type=Path, metavar="BUILD", help="the build folder")
    parser.add_argument("--json", type=Path, metavar="F", help="write all results to a file as well")
    parser.add_argument("--golden", type=Path, action="append", default=[], metavar="DIR", help="another folder of recorded cases")
    parser.add_argument("--only", nargs="+", choices=list(STEPS), default=list(STEPS), help="some of the steps")
    parser.add_argument("--limit", type=float, default=570, metavar="S", help="seconds for everything but the build (570)")
    options = parser.parse_args(arguments)

    device, why = gpu()
    if not device:
        print(f"tests/gpu/run: no GPU: {why}; nothing was run", file=sys.stderr)
        return NO_GPU
    print(device, flush=True)
    folder = options.build or ROOT / "build-gpu"
    if options.build is None and not build(folder):
        print("tests/gpu/run: the build failed", file=sys.stderr)
        return 1
    absent = [name for name in TARGETS if not os.access(folder / "bin" / name, os.X_OK)]
    if absent:
        print(f"tests/gpu/run: {folder}: no bin/{absent[0]}; it was not built with -DLTRP_WITH_CUDA=ON -DLTRP_BUILD_TESTS=ON",
              file=sys.stderr)
        return 2
    missing = libraries([folder / "bin" / name for name in TARGETS]) if shutil.which("ldd") else []
    if missing:
        print(f"tests/gpu/run: {folder}: libraries that are not on this machine (LD_LIBRARY_PATH helps if they are): "
              f"{' '.join(missing)}", file=sys.stderr)
        return 2
    cases = [ROOT / "tests" / "data" / "golden", *options.golden]
    start = time.monotonic()
    run = Run((folder / "bin").resolve(), cases, start + options.limit)
    seconds = 0.0
    for name in options.only:
        try:
            STEPS[name](run)
        except Exception as error:  # an answer nobody thought of must not cost the other steps and the table
            traceback.print_exc(file=sys.stdout)
            run.add(name, "what the programs answered", "FAIL", f"{type(error).__name__}: {error}")
        seconds = time.monotonic() - start
        if options.json:   # after each step: whoever limits this run's time may cut it short
            write_json(options.json, {"device": device, "date": time.strftime("%Y-%m-%d"), "seconds": seconds,
                                      "figures": figures(run), "checks": [asdict(line) for line in run.lines],
                                      "bench": run.bench, "curves": run.curves})
    print(text_of(run, device, seconds), flush=True)
    return 1 if any(line.state in ("FAIL", "not run") for line in run.lines) else 0
