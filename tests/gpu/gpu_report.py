"""Results of a run on a GPU so far: on the terminal, and in files that are complete whenever the run is stopped."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Figure:
    """A row of the table: the requirement, and the benchmark rows it applies to (the best counts)."""

    title: str
    rows: tuple[str, ...]
    unit: str  # "images/s" and "Spearman": higher is better; "ms" and "GiB": lower
    wanted: float
    peer: str = ""
    ratio: float = 0  # required ratio to the peer


FIGURES = (
    Figure(
        "pseudo-scoring, ViT-B/16, 19 visible, batch 64 or more, bf16",
        ("score-decoder-bf16", "score-decoder-bf16-256"),
        "images/s",
        2200,
        "score-decoder-bf16",
        5,
    ),
    Figure("the same, encoder removal", ("score-encoder-bf16",), "images/s", 1700, "score-encoder-bf16"),
    Figure("the same as the first, tf32", ("score-decoder-tf32",), "images/s", 0),
    Figure("the same as the first, fp32 (batch 16)", ("score-decoder-fp32",), "images/s", 0),
    Figure("ranker training step (scores, ViT-S, AdamW), batch 256, bf16", ("train-rank-bf16",), "images/s", 2000),
    Figure("its peak device memory", ("train-rank-bf16",), "GiB", 16),
    Figure("MAE pretraining, ViT-B/16, 75 % masked, bf16", ("pretrain-bf16",), "images/s", 4500),
    Figure("ViT-S ranker, batch 256, bf16", ("rank-256-bf16",), "images/s", 0, "rank-256-bf16", 1.2),
    Figure("ViT-S ranker, batch 1, with host copies, bf16", ("rank-1-bf16",), "ms", 0.6, "rank-1-bf16"),
    Figure("bf16 pseudo-scores against fp32, trained weights, photos", ("spearman-score-bf16",), "Spearman", 0.99),
)
KEYS = {"images/s": "images_per_second", "ms": "ms", "Spearman": "spearman"}


@dataclass
class Line:
    step: str
    what: str
    state: str  # ok, FAIL, missing, not run
    text: str = ""


@dataclass
class Report:
    """Lines, rows of the benchmark, curves. Written to `out` (a folder, or None) with everything that is added."""

    device: str
    out: Path | None = None
    machine: dict[str, str] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    bench: dict[str, dict[str, Any]] = field(default_factory=dict)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    running: str = ""  # the step that was running when the files were written
    start: float = field(default_factory=time.monotonic)

    def add(self, step: str, what: str, state: str, text: str = "") -> None:
        self.lines.append(Line(step, what, state, text))
        print(f"[{state}] {step}: {what}{' - ' + text if text else ''}", flush=True)
        self.write()

    def row(self, name: str, values: dict[str, Any]) -> None:
        self.bench[name] = values
        self.write()

    def progress(self, text: str) -> None:
        self.running = text
        self.write()

    def log(self, text: str) -> None:
        if self.out:
            with open(self.out / "log.txt", "a") as file:
                file.write(text)

    def good(self) -> bool:
        return not any(line.state in ("FAIL", "not run") for line in self.lines)

    def seconds(self) -> float:
        return time.monotonic() - self.start

    def write(self) -> None:
        if not self.out:
            return
        write_file(
            self.out / "report.json",
            json.dumps(
                {
                    "device": self.device,
                    "machine": self.machine,
                    "date": time.strftime("%Y-%m-%d"),
                    "seconds": self.seconds(),
                    "running": self.running,
                    "figures": figures(self.bench),
                    "checks": [asdict(line) for line in self.lines],
                    "bench": self.bench,
                    "curves": self.curves,
                },
                indent=1,
            )
            + "\n",
        )
        write_file(self.out / "report.md", markdown(self))


def write_file(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def value_of(row: dict[str, Any], unit: str) -> float:
    return float(row["peak_bytes"] / 2**30 if unit == "GiB" else row[KEYS[unit]])


def figures(bench: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    table = []
    for figure in FIGURES:
        more = figure.unit in ("images/s", "Spearman")  # higher is better
        values = [value_of(bench[row], figure.unit) for row in figure.rows if row in bench]
        ours = (max if more else min)(values) if values else None
        torch = bench.get("torch:" + figure.peer) if figure.peer else None
        peer = value_of(torch, figure.unit) if torch else None
        entry: dict[str, Any] = {"work": figure.title, "unit": figure.unit, "wanted": figure.wanted}
        entry |= {"measured": ours, "pytorch": peer}
        if ours and peer:
            entry["ratio"] = ours / peer if more else peer / ours
            entry["ratio_wanted"] = figure.ratio
        if ours is not None and figure.wanted:
            entry["reached"] = ours >= figure.wanted if more else ours <= figure.wanted
        if entry.get("ratio_wanted"):
            entry["reached"] = entry.get("reached", True) and entry["ratio"] >= figure.ratio
        table.append(entry)
    return table


def markdown(report: Report) -> str:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.4g}"

    def row(*cells: str) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    lines = [
        f"# {report.device}",
        "",
        f"{time.strftime('%Y-%m-%d')}, {report.seconds():.0f} s"
        + (f"; stopped in: {report.running}" if report.running else ""),
        "",
    ]
    lines += [f"- {name}: {text}" for name, text in report.machine.items()]
    lines += ["", row("work", "wanted", "measured", "PyTorch", "ratio", "reached"), row(*["---"] * 6)]
    for entry in figures(report.bench):
        wanted = f"{entry['wanted']:g} {entry['unit']}" if entry["wanted"] else entry["unit"]
        ratio = number(entry.get("ratio")) + (
            f" (wanted {entry['ratio_wanted']:g})" if entry.get("ratio_wanted") else ""
        )
        reached = {"True": "yes", "False": "no"}.get(str(entry.get("reached")), "")
        lines.append(row(entry["work"], wanted, number(entry["measured"]), number(entry["pytorch"]), ratio, reached))
    lines += ["", row("step", "check", "result", ""), row(*["---"] * 4)]
    lines += [row(line.step, line.what, line.state, line.text) for line in report.lines]
    return "\n".join(lines) + "\n"
