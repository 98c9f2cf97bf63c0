"""Trains the autoencoder and then the ranker on the GPU, with the recipe of the shipped models, in a given time.

tests/gpu/train --minutes M --out OUT, in a parcel (tests/gpu/pack --photos) or with --build and --photos. The recipe
(samples/recipes/run) is a folder with pretrain.cfg, score.cfg and train.cfg, as `ltrp pretrain --config`,
`ltrp score --targets --config` and `ltrp train --config` read them. All three rates are measured, those of the
trainings for ten seconds; then the recipe's epochs of both trainings are multiplied by one factor, so that all ends in
time. OUT receives mae.safetensors, rank.safetensors (16-bit floats; above 16 MiB in parts), the logs, coverage.json
where there are images with masks, and train.json and train.md, which are written after every part. Exit status: 0 all
is there, 1 something is not, 2 wrong options, or the programs do not start, 3 there is no GPU (then nothing was done).
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from gpu_report import write_file
from gpu_tools import NO_GPU, ROOT, call, environment, faulty, last_line, probe

LIMIT = 16 * 2**20  # largest file that can be returned, in bytes
WARM = 3  # first updates, which allocate and record
SHARE = 0.9  # of the available time: rates fluctuate
FILES = ("pretrain", "score", "train")  # recipe files, .cfg
NETWORKS = {"pretrain": "mae", "train": "rank"}
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm")
SAMPLE = 512  # number of photos for measuring the two later rates


class Failed(Exception):
    """Reason why a part has no result."""


@dataclass
class Rate:
    images_per_second: float
    epochs: float  # in the recipe
    warmup_epochs: float
    images: int  # per epoch

    def seconds(self) -> float:
        """Seconds for the unchanged recipe."""
        return float(self.epochs * self.images / self.images_per_second)


def rate_of(log: Path) -> Rate:
    """From a stopped run: its log contains the recipe's values and a line per update."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    starts = [line for line in lines if line.get("event") == "start"]
    steps = [line for line in lines if line.get("event") == "step" and line["step"] > WARM]
    if not starts or len(steps) < 2 or steps[-1]["time"] <= steps[0]["time"]:
        raise Failed(
            f"the rate cannot be told: {len(steps)} updates after the first {WARM}, expected 2 or more; a smaller "
            "batch in the recipe helps"
        )
    options = starts[0]["options"]
    each = int(options["batch"]) * int(options["accumulate"])
    done = (steps[-1]["step"] - steps[0]["step"]) * each
    return Rate(
        done / (steps[-1]["time"] - steps[0]["time"]),
        float(options["epochs"]),
        float(options["warmup-epochs"]),
        starts[0]["steps_per_epoch"] * each,
    )


def factor_for(rates: dict[str, Rate], seconds: float) -> float:
    """Factor of the recipe's epochs with which both trainings together take that long."""
    if seconds <= 0:
        raise Failed("no time was left for the trainings")
    return seconds / sum(rate.seconds() for rate in rates.values())


class Training:
    def __init__(self, options: argparse.Namespace, folder: Path, device: str) -> None:
        self.options, self.folder, self.out = options, folder, options.out
        self.until: float = time.monotonic() + 60 * options.minutes
        self.env = environment()
        self.state: dict[str, Any] = {
            "device": device,
            "date": time.strftime("%Y-%m-%d"),
            "recipe": {},
            "running": "",
            "rates": {},
            "networks": {},
            "failed": [],
        }
        for kind in FILES:
            self.state["recipe"][kind] = (options.recipe / f"{kind}.cfg").read_text()

    def left(self) -> float:
        return self.until - time.monotonic()

    def now(self, what: str) -> None:
        print(what, flush=True)
        self.state["running"] = what
        self.write()

    def write(self) -> None:
        write_file(self.out / "train.json", json.dumps(self.state, indent=1) + "\n")
        write_file(self.out / "train.md", page(self.state))

    def ltrp(self, *arguments: object, soft: float = 0) -> tuple[int | None, str]:
        return call([self.folder / "bin" / "ltrp", *arguments], max(0.0, self.left()), env=self.env, soft=soft)

    def command(self, kind: str, data: list[Path], *more: object) -> list[Any]:
        o = self.options
        ways = ["--device", o.device, "--precision", o.precision, "--threads", str(o.workers)]
        if kind != "score":
            ways += ["--workers", str(o.workers), "--cache-mb", "4096"]
        return [kind, *data, "--config", o.recipe / f"{kind}.cfg", *ways, *more]

    def must(self, kind: str, data: list[Path], *more: object, soft: float = 0) -> None:
        """soft: a training that is stopped at the time limit counts as a success."""
        status, output = self.ltrp(*self.command(kind, data, *more), soft=soft)
        mapped = kind == "score" and status == 1 and "score maps of " in output  # all but damaged photos
        if status != 0 and not mapped and not (soft and status == 130):
            raise Failed(f"{kind}: {reason(status, output)}")

    def rate(self, kind: str, data: list[Path], out: Path, *more: object) -> Rate:
        self.now(f"measuring the rate of {kind}")
        self.must(kind, data, "--out", out, "--log-every", "1", *more, soft=self.options.rate_seconds)
        return rate_of(out / "log.jsonl")

    def measure(self, work: Path, photos: list[Path]) -> tuple[dict[str, Rate], float]:
        """The rates of both trainings, and the seconds that all score maps take."""
        rates = {"pretrain": self.rate("pretrain", self.options.photos, work / "rate-pretrain")}
        # An autoencoder of the same size after one update, to measure the rates of the later steps.
        teacher = work / "teacher" / "final.safetensors"
        self.must(
            "pretrain", self.options.photos, "--out", teacher.parent, "--epochs", "0.000001", "--warmup-epochs", "0"
        )
        some = work / "some.txt"
        chosen = photos[:: max(1, len(photos) // SAMPLE)]
        some.write_text("".join(f"{path}\n" for path in chosen))
        self.now("measuring the rate of score")
        start = time.monotonic()
        self.must("score", [some], "--mae", teacher, "--targets", work / "some")
        scores = (time.monotonic() - start) * len(photos) / len(chosen)
        more = ["--init", teacher, "--targets", work / "some"]
        rates["train"] = self.rate("train", [some], work / "rate-train", *more)
        rates["train"].images = rates["pretrain"].images  # all photos
        self.state["rates"] = {kind: vars(rate) for kind, rate in rates.items()}
        self.state["rates"]["score"] = {"images_per_second": len(photos) / scores, "images": len(photos), "epochs": 1}
        return rates, scores

    def train(self, work: Path, kind: str, rate: Rate, factor: float, after: float, *more: object) -> Path:
        """after: seconds needed by the later steps."""
        epochs = rate.epochs * factor
        self.now(f"{kind}: {epochs:.2f} epochs of {rate.images} images, {factor:.2f} times the recipe's")
        out = work / kind
        # In case time runs out nevertheless, a copy of the weights is at most a tenth of the training old.
        every = max(1, round(epochs / 10))
        ways = ["--out", out, "--epochs", f"{epochs:.6g}", "--warmup-epochs", f"{rate.warmup_epochs * factor:.6g}"]
        command = self.command(kind, self.options.photos, *ways, "--export-every", str(every), *more)
        status, output = self.ltrp(*command, soft=max(1.0, self.left() - after))
        final = out / "final.safetensors"
        note = f"{epochs:.2f} epochs"
        if status != 0:
            copies = sorted(out.glob("epoch-*.safetensors"))
            if not copies:
                raise Failed(f"{kind}: {reason(status, output)}")
            copies[-1].replace(final)
            epoch = int(copies[-1].stem.partition("-")[2])
            note = f"its state after epoch {epoch} of {epochs:.2f}: {reason(status, output)}"
            self.state["failed"].append(f"{kind}: {note}")
        if (out / "log.jsonl").exists():
            shutil.copy(out / "log.jsonl", self.out / f"{kind}-log.jsonl")
        self.deliver(kind, final, note)
        return final

    def deliver(self, kind: str, weights: Path, note: str) -> None:
        result = self.out / f"{NETWORKS[kind]}.safetensors"
        status, output = self.ltrp("convert", weights, result, "--dtype", "f16")
        if status != 0:
            raise Failed(f"{result.name}: {reason(status, output)}")
        size = result.stat().st_size
        if size > LIMIT:  # in parts, to be joined with cat
            data = result.read_bytes()
            for number, at in enumerate(range(0, size, LIMIT), 1):
                result.with_name(f"{result.name}.{number}").write_bytes(data[at : at + LIMIT])
            result.unlink()
            note += f"; in parts: cat {result.name}.? > {result.name}"
        self.state["networks"][result.name] = {"bytes": size, "note": note}
        self.write()

    def coverage(self, weights: Path) -> None:
        if not self.options.eval:
            return
        self.now("coverage")
        table = self.out / "coverage.json"
        status, output = self.ltrp("eval", "coverage", self.options.eval, "--model", weights, "--json", table)
        if status not in (0, 1) or not table.exists():
            raise Failed(f"eval coverage: {reason(status, output)}")
        self.state["coverage"] = output
        if status == 1:
            self.state["failed"].append(f"eval coverage: {last_line(output)}")

    def all(self) -> bool:
        with tempfile.TemporaryDirectory(prefix="ltrp-train-") as folder:
            work = Path(folder)
            try:
                photos = photos_of(self.options.photos)
                rates, scores = self.measure(work, photos)
                evaluation = self.options.evaluation_seconds
                factor = factor_for(rates, SHARE * (self.left() - evaluation - scores))
                later = evaluation + scores + factor * rates["train"].seconds()
                mae = self.train(work, "pretrain", rates["pretrain"], factor, later)
                self.now(f"score maps of {len(photos)} photos")
                self.must("score", self.options.photos, "--mae", mae, "--targets", work / "targets")
                more = ["--init", mae, "--targets", work / "targets"]
                self.coverage(self.train(work, "train", rates["train"], factor, evaluation, *more))
            except (Failed, OSError, ValueError) as error:
                self.state["failed"].append(str(error))
        self.now("")
        return not self.state["failed"]


def photos_of(folders: list[Path]) -> list[Path]:
    """Approximately the images that both trainings find there: enough to draw some."""
    found = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    if not found:
        raise Failed(f"no photos in {', '.join(map(str, folders))}")
    return found


def reason(status: int | None, output: str) -> str:
    return f"{'out of time' if status in (None, 130) else f'exit status {status}'}: {last_line(output)}"


def page(state: dict[str, Any]) -> str:
    lines = [f"# Trained on {state['device']}, {state['date']}", ""]
    if state["running"]:
        lines += [f"Stopped in: {state['running']}", ""]
    for kind, rate in state["rates"].items():
        lines.append(
            f"- {kind}: {rate['images_per_second']:.0f} images/s; the recipe's {rate['epochs']:g} epochs of "
            f"{rate['images']} images"
        )
    lines += [f"- {name}: {entry['bytes']} bytes, {entry['note']}" for name, entry in state["networks"].items()]
    lines += [f"- FAIL: {text}" for text in state["failed"]]
    if "coverage" in state:
        lines += ["", "```", state["coverage"].rstrip(), "```"]
    for kind, text in state["recipe"].items():
        lines += ["", f"{kind}.cfg:", "", "```", text.rstrip(), "```"]
    return "\n".join(lines) + "\n"


def main(arguments: list[str], gpu: Callable[[], tuple[str, str]] = probe) -> int:
    parser = argparse.ArgumentParser(
        prog="tests/gpu/train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, required=True, metavar="M", help="for everything")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder for the results; made if absent")
    parser.add_argument(
        "--build", type=Path, default=ROOT / "programs", metavar="BUILD", help="a build folder (the parcel's programs)"
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        default=ROOT / "samples" / "recipes",
        metavar="FOLDER",
        help="with pretrain.cfg, score.cfg and train.cfg (samples/recipes)",
    )
    parser.add_argument(
        "--photos", type=Path, nargs="+", metavar="FOLDER", help="what to train on (the parcel's photos)"
    )
    parser.add_argument(
        "--eval", type=Path, metavar="FOLDER", help="images/ and foreground/ for the coverage table (the parcel's)"
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal without a GPU")
    parser.add_argument("--precision", help="of both networks (bf16; on the CPU fp32)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="threads that read photos (all cores)"
    )
    parser.add_argument(
        "--rate-seconds",
        type=float,
        default=13,
        metavar="S",
        help="for measuring each rate, the start of the program included (13)",
    )
    parser.add_argument(
        "--evaluation-seconds", type=float, default=25, metavar="S", help="kept for the coverage table (25)"
    )
    options = parser.parse_args(arguments)
    if not 0 < options.minutes < 1e5:
        parser.error(f"--minutes: {options.minutes:g} is not a number above 0")
    options.precision = options.precision or ("bf16" if options.device == "cuda" else "fp32")
    options.photos = options.photos or [ROOT / "photos"]
    options.eval = options.eval or (ROOT / "eval" if (ROOT / "eval").is_dir() else None)
    for path in (*options.photos, *(options.recipe / f"{kind}.cfg" for kind in FILES)):
        if not path.exists():
            remedy = "tests/gpu/pack --photos FOLDER... packs photos; --recipe names the recipe"
            print(f"tests/gpu/train: {path} is not there ({remedy})", file=sys.stderr)
            return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # also ends child processes

    wrong = faulty(options.build, ("ltrp",))
    if wrong:
        print(f"tests/gpu/train: {wrong}", file=sys.stderr)
        return 2
    device, why = gpu() if options.device == "cuda" else ("the CPU", "")
    if not device:
        print(f"tests/gpu/train: no GPU: {why}; nothing was trained", file=sys.stderr)
        return NO_GPU
    options.out.mkdir(parents=True, exist_ok=True)
    training = Training(options, options.build, device)
    good = training.all()
    print(page(training.state), flush=True)
    return 0 if good else 1
