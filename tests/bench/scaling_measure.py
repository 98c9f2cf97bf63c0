"""What several processes on one machine take, measured and beside the model of scaling_model.py.

There are more processes than cores, and the cores may be busy with other work: processor time of all processes together
is compared, not the time that passes.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from scaling_model import count, geometry, parameters, rows_of, stack

ROOT = Path(__file__).resolve().parents[2]
COUNTS = (2, 4, 8)
WAYS = {"ordered": "yes: pieces", "allreduce": "no: tree", "allreduce, ring": "no: ring"}  # --deterministic
SIZES = [1024 * 4**i for i in range(9)]  # to 64 MiB
LARGEST = {2: 512 << 20}  # one more size; more processes would want more memory

# Many parameters for few images, so that adding up gradients is a part that shows.
NETWORK = geometry(64, 16, stack(384, 8), stack(128, 2))
GEOMETRY = [
    "--size",
    "64",
    "--patch",
    "16",
    "--embed-dim",
    "384",
    "--depth",
    "8",
    "--heads",
    "6",
    "--decoder-embed-dim",
    "128",
    "--decoder-depth",
    "2",
    "--decoder-heads",
    "4",
]
BATCHES, ACCUMULATE, UPDATES = (16, 4), 8, 7
GRADIENT_BYTES = 4 * parameters(NETWORK)
NEXT_TO_NOTHING = [
    "--size",
    "224",
    "--patch",
    "112",
    "--embed-dim",
    "8",
    "--depth",
    "1",
    "--heads",
    "1",
    "--decoder-embed-dim",
    "8",
    "--decoder-depth",
    "1",
    "--decoder-heads",
    "1",
]


class Programs:
    def __init__(self, build: Path, folder: Path) -> None:
        self.folder = folder
        self.mpirun = shutil.which("mpirun") or sys.exit("mpirun is not there: Debian: openmpi-bin")
        self.bin = build / "bin"
        for name in ("ltrp-mpi", "ltrp_bench_reduce"):
            if not (self.bin / name).exists():
                sys.exit(f"{self.bin / name} is not there: build with -DLTRP_WITH_MPI=ON -DLTRP_BUILD_TESTS=ON")

    def run(self, workers: int, name: str, *arguments: str, settings: tuple[str, ...] = ()) -> tuple[str, float]:
        """The program's output, and the processor time of mpirun and all its processes."""
        root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        command = [
            self.mpirun,
            *root,
            "--oversubscribe",
            *settings,
            "-n",
            str(workers),
            str(self.bin / name),
            *arguments,
        ]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=dict(os.environ, OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive"),
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
        return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def train(self, workers: int, *arguments: str) -> float:
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        return self.run(
            workers,
            "ltrp-mpi",
            "pretrain",
            "--out",
            str(out),
            "--threads",
            "1",
            "--checkpoint-minutes",
            "0",
            "--warmup-epochs",
            "0",
            *arguments,
        )[1]


def per_update(
    programs: Programs, workers: int, batch: int, accumulate: int, deterministic: str, updates: int
) -> float:
    """Processor seconds of an update: a run of many, less one of a single update."""

    def run(epochs: int) -> float:
        return programs.train(
            workers,
            str(ROOT / "samples/photos"),
            *GEOMETRY,
            "--batch",
            str(batch),
            "--accumulate",
            str(accumulate),
            "--epochs",
            str(epochs),
            "--deterministic",
            deterministic,
        )

    return (
        run(1 + updates) - run(1)
    ) / updates  # there are fewer photos than images in an update: an epoch is an update


def measure_reduction(programs: Programs, add) -> None:
    for workers in (1, *COUNTS):
        sizes = [*SIZES, *([LARGEST[workers]] if workers in LARGEST else []), GRADIENT_BYTES]
        for algorithm in ("", "ring") if workers >= 4 else ("",):
            settings = ("--mca", "coll_libnbc_iallreduce_algorithm", "1") if algorithm else ()
            chosen = [str(size) for size in (sizes[6:] if algorithm else sizes)]
            output, _ = programs.run(workers, "ltrp_bench_reduce", "0.3", *chosen, settings=settings)
            for line in map(json.loads, output.splitlines()):
                if not algorithm or line["form"] == "allreduce":
                    add(line | ({"form": "allreduce, ring"} if algorithm else {}))


def measure_runs(programs: Programs, add, rounds: int) -> None:
    for number in range(rounds):
        for batch in BATCHES:
            for workers, accumulate, deterministic, updates in (
                (1, ACCUMULATE, "yes", UPDATES),
                (1, 1, "yes", 4 * UPDATES),
                *((w, ACCUMULATE, d, UPDATES) for w in COUNTS for d in ("yes", "no")),
            ):
                seconds = per_update(programs, workers, batch, accumulate, deterministic, updates)
                add(
                    {
                        "measure": "update",
                        "round": number + 1,
                        "workers": workers,
                        "batch": batch,
                        "accumulate": accumulate,
                        "deterministic": deterministic,
                        "parameters": parameters(NETWORK),
                        "processor_seconds": round(seconds, 4),
                    }
                )


def measure_input(programs: Programs, add) -> None:
    """Reading, decoding and cropping, with a network of next to no size: more epochs less fewer."""
    photos, packed = ROOT / "samples/photos", programs.folder / "packed"
    programs.run(1, "ltrp-mpi", "pack", str(photos), "--out", str(packed), "--side", "256")
    files = {"photos": list(photos.glob("*.jpg")), "packed": list(packed.glob("*.tar"))}
    number = len(files["photos"])
    for name, data in (("photos", photos), ("packed", packed)):

        def run(epochs: int) -> float:
            return programs.train(
                1,
                str(data),
                *NEXT_TO_NOTHING,
                "--batch",
                str(number),
                "--accumulate",
                "1",
                "--cache-mb",
                "0",
                "--workers",
                "0",
                "--epochs",
                str(epochs),
            )

        seconds = (run(101) - run(1)) / (100 * number)
        add(
            {
                "measure": "input",
                "set": name,
                "images": number,
                "bytes_per_image": round(sum(file.stat().st_size for file in files[name]) / number),
                "processor_seconds_per_image": float(f"{seconds:.3g}"),
            }
        )


def measure(build: Path, file: Path, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="ltrp-scaling-") as folder, file.open("w") as output:

        def add(line: dict) -> None:
            print(json.dumps(line), file=output, flush=True)
            print(json.dumps(line), file=sys.stderr)

        programs = Programs(build.resolve(), Path(folder))
        measure_input(programs, add)
        measure_reduction(programs, add)
        measure_runs(programs, add, rounds)


# Comparison


def read(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def reductions(lines: list[dict]) -> dict[tuple[str, int, int], dict]:
    """By form, workers and bytes; "ordered" is exchange and share."""
    found = {(line["form"], line["workers"], line["bytes"]): line for line in lines if line["measure"] == "reduce"}
    for form, workers, size in list(found):
        if form == "exchange":
            both = found[form, workers, size], found["share", workers, size]
            found["ordered", workers, size] = {
                key: both[0][key] + both[1][key] for key in both[0] if key.endswith("seconds")
            }
    return found


def growth(workers: int) -> tuple[float, float]:
    """Of the processor time from 2 to so many workers: what each does for itself grows with W, what is handed over by
    ring, tree or exchange (2 (W - 1) x size bytes in all) with W - 1."""
    return workers / 2, workers - 1.0


def reduction_rows(found: dict) -> list[list[str]]:
    lines = []
    for size in (size for size in SIZES if size >= 1 << 20):
        for form in ("ordered", "allreduce"):
            times = [found[form, workers, size]["processor_seconds"] for workers in COUNTS]
            lines.append(
                [
                    f"{size / (1 << 20):g} MiB",
                    WAYS[form],
                    *(count(1e3 * time) for time in times),
                    *(f"{time / times[0]:.1f}" for time in times[1:]),
                ]
            )
    return lines


def busiest_rows(found: dict, size: int) -> list[list[str]]:
    """The share of the worker that takes most, beside 1 / workers."""
    lines = []
    for form in ("ordered", "allreduce, ring", "allreduce"):
        cells = [WAYS[form]]
        for workers in (4, 8):
            at = found[form, workers, size]
            cells += [
                count(1e3 * at["busiest_processor_seconds"]),
                f"{100 * at['busiest_processor_seconds'] / at['processor_seconds']:.0f} %",
            ]
        lines.append(cells)
    return lines


def updates(lines: list[dict]) -> dict[tuple[int, int, int, str], list[float]]:
    found: dict[tuple[int, int, int, str], list[float]] = {}
    for line in lines:
        if line["measure"] == "update":
            key = line["batch"], line["workers"], line["accumulate"], line["deterministic"]
            found.setdefault(key, []).append(line["processor_seconds"])
    return found


def predicted_update(lines: list[dict], batch: int, workers: int, deterministic: str) -> float:
    """From runs of one worker, with eight batches and with one per update, and from the measured reductions."""
    found, reduced = updates(lines), reductions(lines)
    eight = statistics.median(found[batch, 1, ACCUMULATE, "yes"])
    one = statistics.median(found[batch, 1, 1, "yes"])
    of_batch = (eight - one) / (ACCUMULATE - 1)
    alone = one - of_batch  # what each worker does for itself: the optimizer
    size = GRADIENT_BYTES
    if deterministic == "no":
        add = reduced["allreduce", workers, size]["processor_seconds"]
    else:
        exchange, share = (reduced[form, workers, size]["processor_seconds"] for form in ("exchange", "share"))
        add = ACCUMULATE / workers * exchange + share
    return ACCUMULATE * of_batch + workers * alone + add


def update_rows(lines: list[dict]) -> list[list[str]]:
    found, rows = updates(lines), []
    for batch in BATCHES:
        base = statistics.median(found[batch, 1, ACCUMULATE, "yes"])
        rows.append([str(batch), "1", "", count(base), "", "", "1"])
        for deterministic in ("yes", "no"):
            for workers in COUNTS:
                seconds = found[batch, workers, ACCUMULATE, deterministic]
                measured, model = statistics.median(seconds), predicted_update(lines, batch, workers, deterministic)
                rows.append(
                    [
                        str(batch),
                        str(workers),
                        deterministic,
                        count(measured),
                        count(model),
                        f"{measured / model:.2f}",
                        f"{workers * base / measured:.2f}",
                    ]
                )
    return rows


def ranges(lines: list[dict]) -> str:
    """Measured / model, least and largest."""
    parts = []
    for deterministic in ("yes", "no"):
        ratios = [
            statistics.median(seconds) / predicted_update(lines, batch, w, deterministic)
            for (batch, w, _, d), seconds in updates(lines).items()
            if w > 1 and d == deterministic
        ]
        parts.append(f"--deterministic {deterministic}: {min(ratios):.2f} to {max(ratios):.2f}")
    return "Updates, measured / model: " + "; ".join(parts)


def comparison(lines: list[dict]) -> str:
    found = reductions(lines)
    sums = {
        line["bytes"]: line["bytes"] / line["processor_seconds"] for line in lines if line.get("form") == "checksum"
    }
    inputs = [
        f"{line['set']}: {line['bytes_per_image']:,} bytes and "
        f"{1e3 * line['processor_seconds_per_image']:.3g} ms of a core per image"
        for line in lines
        if line["measure"] == "input"
    ]
    headers = (
        ["size", "--deterministic", "2 workers, ms", "4", "8", "growth to 4", "to 8"],
        ["--deterministic", "4 workers: busiest, ms", "its share", "8 workers: busiest, ms", "its share"],
        ["batch", "workers", "deterministic", "measured, s", "model, s", "ratio", "best speed-up"],
    )
    return "\n\n".join(
        [
            "Adding up gradients once, processor time of all workers; growth of the model: 2 to 3 and 4 to 7",
            rows_of(headers[0], reduction_rows(found)),
            f"The busiest worker, {SIZES[8] >> 20} MiB",
            rows_of(headers[1], busiest_rows(found, SIZES[8])),
            f"An update of {ACCUMULATE} batches, {parameters(NETWORK):,} parameters, processor time of all workers",
            rows_of(headers[2], update_rows(lines)),
            ranges(lines),
            "Input: " + "; ".join(inputs),
            f"Checksum: {sums[SIZES[8]] / 1e9:.2g} GB/s",
        ]
    )
