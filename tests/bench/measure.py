"""One row: prepare the same work for everyone, hold the answers against each other, then time in turns."""

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Callable

import agreement
from rows import Row, peak_shapes, row_flop
from setting import OTHER_BUILD, Setting
from workers import Unavailable, Worker, environment

PEERS = {"rank": ("onnxruntime", "openvino", "opencv", "pytorch"), "score": ("pytorch",), "train_step": ("pytorch",),
         "pretrain_step": ("pytorch",), "select": ("numpy", "pytorch"), "folder": ("rank_folder.py",)}


@dataclass
class Options:
    rounds: int
    seconds: float  # of calls a participant gets in a round
    threads: int


@dataclass
class Participant:
    name: str
    version: str = ""
    time: Callable[[int], list[float]] | None = None  # so many calls -> milliseconds each
    notes: list[str] = field(default_factory=list)
    unavailable: str = ""
    agreement: dict | None = None
    agrees: bool = True
    repeat: int = 1
    rounds: list[float] = field(default_factory=list)

    @property
    def ms(self) -> float | None:
        return statistics.median(self.rounds) if self.rounds else None


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(row: Row, setting: Setting, options: Options) -> dict:
    ours, peers = (folder_participants if row.kind == "folder" else participants)(row, setting, options)
    for one in [ours, *peers]:
        if one.unavailable:
            progress(f"  {one.name}: not available: {one.unavailable}")
        elif one.agreement is not None:
            progress(f"  {one.name}: {'agrees' if one.agrees else 'DISAGREES'}: {agreement.describe(one.agreement)}")
    ready = [one for one in [ours, *peers] if not one.unavailable and one.agrees]
    rates = time_in_turns(row, setting, options, ours, ready)
    setting.drop_models()
    return result_of(row, setting, options, ours, peers, rates)


def time_in_turns(row: Row, setting: Setting, options: Options, ours: Participant,
                  ready: list[Participant]) -> list[float]:
    """Every round each participant once, beginning with another one each time, and the matrix products alone."""
    for one in ready:
        first = one.time(1)[0]
        if first < options.seconds * 1e3:
            first = one.time(1)[0]  # settled by now
        one.repeat = max(1, min(1000, int(options.seconds * 1e3 / max(first, 1e-3))))
    rates: list[float] = []
    divisor = row.images if row.per_image else 1
    for number in range(options.rounds):
        shift = number % max(1, len(ready))
        for one in ready[shift:] + ready[:shift]:
            try:
                one.rounds.append(statistics.median(one.time(one.repeat)) / divisor)
            except Unavailable as reason:
                one.unavailable, one.rounds = str(reason), []
        ready = [one for one in ready if not one.unavailable]
        if row_flop(row, setting.geometries, setting.visible) is not None and not ours.unavailable:
            try:
                rates.append(setting.ours.ask("rate", precision=row.precision, seconds=max(0.2, options.seconds),
                                              shapes=peak_shapes(row, setting.geometries, setting.visible))["gflops"])
            except Unavailable as reason:
                ours.notes.append(f"no rate of matrix products: {reason}")
        progress(f"  round {number + 1} of {options.rounds}: "
                 + ", ".join(f"{one.name} {one.rounds[-1]:.2f} ms" for one in ready))
    return rates


def participants(row: Row, setting: Setting, options: Options) -> tuple[Participant, list[Participant]]:
    work = setting.prepare(row)
    reference = None
    ours = Participant("ltrp", setting.ours.version)
    answers: dict[str, dict] = {}
    try:
        if row.precision != "fp32" or row.sample_share < 1:  # everything is held against our own exact fp32
            setting.load(setting.ours, work, "fp32")
            reference = work.answers(setting.ours, exact=True)
        setting.load(setting.ours, work, row.precision)
        answers[ours.name] = work.answers(setting.ours)
        ours.time = timer(setting.ours, work.timed)
    except Unavailable as reason:
        ours.unavailable = str(reason)
    reference = reference or answers.get(ours.name)
    peers = []
    names = [name for name in PEERS[row.kind] if name in setting.peer_names]
    # What few would do in int8, and nobody by estimates, they do in fp32.
    if row.kind == "score" and (row.precision == "int8" or (row.sample_share < 1 and row.precision != "fp32")):
        names += [name + ":fp32" for name in names]
    names += [OTHER_BUILD] * bool(setting.against)
    for name in names:
        peer = Participant(name)
        peers.append(peer)
        try:
            worker = setting.peer(name)
            peer.version = worker.version
            peer.name = f"{worker.version} {name.partition(':')[2]}".strip()
            loaded = setting.load(worker, work, name.partition(":")[2] or row.precision)
            peer.notes += [loaded["variant"]] if "variant" in loaded else []
            peer.notes += [f"{variant} failed: {why}" for variant, why in loaded.get("failures", {}).items()]
            answers[peer.name] = work.answers(worker)
            peer.time = timer(worker, work.timed)
        except Unavailable as reason:
            peer.unavailable = str(reason)
    for one in [ours, *peers]:
        if one.name in answers and (one is not ours or row.precision != "fp32" or row.sample_share < 1):
            one.agreement, one.agrees = compare(row, reference, answers[one.name])
    return ours, peers


def timer(worker: Worker, call: dict) -> Callable[[int], list[float]]:
    return lambda repeat: worker.milliseconds(call, repeat)


def compare(row: Row, reference: dict, other: dict) -> tuple[dict, bool]:
    if "kept" in reference:
        result = agreement.compare_choices(reference["kept"], other["kept"])
        return result, agreement.choices_agree(result)
    if "losses" in reference:
        result = agreement.compare_losses(reference["losses"], other["losses"])
        agrees = agreement.losses_agree(result, row.precision)
        if "scores" in reference:
            scores = agreement.compare_scores(reference["scores"], other["scores"])
            result["pseudo_scores"] = scores
            agrees = agrees and agreement.scores_agree(scores, row.precision, row.preset != "shipped")
        return result, agrees
    result = agreement.compare_scores(reference["scores"], other["scores"])
    precision = "int8" if row.sample_share < 1 else row.precision  # estimates come no closer than that
    precision = "photos" if row.kind == "folder" else precision
    return result, agreement.scores_agree(result, precision, row.kind == "score" and row.preset != "shipped")


def folder_participants(row: Row, setting: Setting, options: Options) -> tuple[Participant, list[Participant]]:
    """Whole processes from start to end, each with its own file of results."""
    work = setting.prepare_folder(row)
    both = Participant("ltrp rank", setting.ours.version), Participant("rank_folder.py", "OpenCV + ONNX Runtime")
    found: list[dict] = []

    def runner(command: list[str]) -> Callable[[int], list[float]]:
        def run(repeat: int) -> list[float]:
            times = []
            for _ in range(repeat):
                start = time.perf_counter()
                done = subprocess.run(command, env=environment(options.threads), stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE, text=True)
                times.append((time.perf_counter() - start) * 1e3)
                if done.returncode:
                    raise Unavailable((done.stderr.strip().splitlines() or ["no message"])[-1][:300])
            return times
        return run

    for one, command, out in zip(both, work.commands, work.outputs):
        one.time = runner(command)
        try:
            one.time(1)
            found.append(work.read(out))
        except (Unavailable, OSError) as reason:
            one.unavailable = str(reason)
    if len(found) == 2:
        both[1].agreement, both[1].agrees = compare(row, *found)
    return both[0], [both[1]]


def spread(values: list[float]) -> list[float] | None:
    return [min(values), max(values)] if values else None


def result_of(row: Row, setting: Setting, options: Options, ours: Participant, peers: list[Participant],
              rates: list[float]) -> dict:
    timed = [peer for peer in peers if peer.rounds]
    best = min(timed, key=lambda peer: peer.ms, default=None)
    ratios = {peer.name: [a / b for a, b in zip(ours.rounds, peer.rounds)] for peer in timed if ours.rounds}
    flop = row_flop(row, setting.geometries, setting.visible)
    peak = statistics.median(rates) if rates else None
    of_peak = None
    if peak and flop and ours.rounds:
        calls = [ms * (row.images if row.per_image else 1) for ms in ours.rounds]
        of_peak = statistics.median(flop / (ms * 1e6) / rate for ms, rate in zip(calls, rates))
    everyone = [ours, *peers]
    return {
        "row": row.name, "unit": row.unit, "weights": setting.weights_of(row), "ours_ms": ours.ms,
        "ours_ms_spread": spread(ours.rounds), "peers": {peer.name: peer.ms for peer in timed},
        "best_peer": best.name if best else None,
        "ratio_to_best": statistics.median(ratios[best.name]) if best and ratios else None,
        "ratio_spread": spread(ratios[best.name]) if best and ratios else None,
        "ratios": {name: {"median": statistics.median(values), "spread": spread(values)}
                   for name, values in ratios.items()},
        "of_peak": of_peak, "peak_gflops": peak, "flop": flop,
        "agreement": {one.name: dict(one.agreement, agrees=one.agrees) for one in everyone if one.agreement},
        "unavailable": {one.name: one.unavailable for one in everyone if one.unavailable},
        "disagreeing": [one.name for one in everyone if not one.agrees],
        "notes": {one.name: one.notes for one in everyone if one.notes},
        "versions": {one.name: one.version for one in everyone if one.version},
        "rounds": options.rounds, "threads": options.threads,
    }
