"""Everything that needs a GPU, in one run and without network: correctness, speed and memory use.

tests/gpu/run [BUILD]: BUILD is a build folder made with -DLTRP_WITH_CUDA=ON -DLTRP_BUILD_TESTS=ON; without one, in a
parcel (tests/gpu/pack) its programs are run, and in the project build-gpu/ is made, for the GPU at hand. Every result
is in OUT/report.json and OUT/report.md the moment it is there. Exit status: 0 all is well, 1 something failed or was
not reached, 2 wrong options, or the programs do not start, 3 there is no GPU (then nothing was done).
"""

import argparse
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Callable

from gpu_report import Report, markdown
from gpu_steps import STEPS, Run
from gpu_tools import NO_GPU, ROOT, Budget, environment, faulty, probe

PROGRAMS = ("ltrp", "ltrp_gpu_tests", "ltrp_bench_cuda")


def build(folder: Path) -> bool:
    options = [
        "-DCMAKE_BUILD_TYPE=Release",
        "-DLTRP_WITH_CUDA=ON",
        "-DLTRP_BUILD_TESTS=ON",
        "-DCMAKE_CUDA_ARCHITECTURES=native",
    ]
    return (
        subprocess.run(["cmake", "-S", ROOT, "-B", folder, *options]).returncode == 0
        and subprocess.run(["cmake", "--build", folder, "--parallel", "--target", *PROGRAMS, "ltrp_models"]).returncode
        == 0
    )


def photos_of(folder: Path) -> list[Path]:
    """The project's own, then a parcel's training photos from all of its folders in turn."""
    packed = [sorted(part.glob("*.jpg")) for part in sorted((folder / "photos").glob("*")) if part.is_dir()]
    turns = [photo for turn in zip(*packed) for photo in turn]
    return sorted((folder / "samples" / "photos").glob("*.jpg")) + turns


def go(run: Run, names: list[str]) -> None:
    for name in names:
        run.budget.begin(name)
        run.report.progress(name)
        try:
            STEPS[name].work(run)
        except Exception as error:  # an unexpected answer must not lose the other steps and the table
            traceback.print_exc(file=sys.stdout)
            run.report.add(name, "what the programs answered", "FAIL", f"{type(error).__name__}: {error}")
    run.report.progress("")


def main(arguments: list[str], gpu: Callable[[], tuple[str, str]] = probe) -> int:
    parser = argparse.ArgumentParser(
        prog="tests/gpu/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("build", nargs="?", type=Path, metavar="BUILD", help="the build folder")
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="for everything but the build (9.5; the first look 1.9)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="OUT", help="folder for report.json, report.md and log.txt; made if absent"
    )
    parser.add_argument("--first-look", action="store_true", help="is it right? The steps before the benchmark alone")
    parser.add_argument(
        "--golden", type=Path, action="append", default=[], metavar="DIR", help="another folder of recorded cases"
    )
    parser.add_argument("--only", nargs="+", choices=list(STEPS), help="some of the steps")
    options = parser.parse_args(arguments)
    minutes = options.minutes if options.minutes is not None else 1.9 if options.first_look else 9.5
    if not 0 < minutes < 1e4:
        parser.error(f"--minutes: {minutes:g} is not a number above 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # also ends child processes

    folder = options.build or (ROOT / "programs" if (ROOT / "programs").is_dir() else None)
    wrong = faulty(folder, PROGRAMS) if folder else ""
    if wrong:
        print(f"tests/gpu/run: {wrong}", file=sys.stderr)
        return 2
    device, why = gpu()
    if not device:
        print(f"tests/gpu/run: no GPU: {why}; nothing was run", file=sys.stderr)
        return NO_GPU
    print(device, flush=True)
    if not folder:
        folder = ROOT / "build-gpu"
        wrong = faulty(folder, PROGRAMS) if build(folder) else "the build failed"
        if wrong:
            print(f"tests/gpu/run: {wrong}", file=sys.stderr)
            return 1
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "log.txt").unlink(missing_ok=True)
    names = [
        name
        for name, step in STEPS.items()
        if name in (options.only or STEPS) and (step.look or not options.first_look)
    ]
    cases = [ROOT / "tests" / "data" / "golden", *sorted(path for path in (ROOT / "golden").glob("*") if path.is_dir())]
    run = Run(
        (folder / "bin").resolve(),
        cases + options.golden,
        Report(device, options.out),
        Budget(60 * minutes, {name: STEPS[name].share for name in names}),
        environment(),
        photos_of(ROOT),
    )
    go(run, names)
    print(markdown(run.report), flush=True)
    return 0 if run.report.good() else 1
