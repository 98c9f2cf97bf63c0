#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

"""How training grows with the number of workers: a model, and its check against processes on this machine.

scaling_model.py tables                          the tables of doc/scaling-model.md
scaling_model.py draw FOLDER --measured FILE     its figures
scaling_model.py measure BUILD FILE              measures on this machine (about 12 minutes of processor time), as lines
                                                 of JSON; BUILD: with -DLTRP_WITH_MPI=ON -DLTRP_BUILD_TESTS=ON
scaling_model.py compare --measured FILE         the measurements beside the model

Python's standard library alone. All times are in seconds, sizes in bytes, rates in one of them per second.
"""

import argparse
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

sys.path.insert(0, str(Path(__file__).resolve().parent))
from rows import Row, row_flop, stack_flop

COUNTS = (1, 2, 8, 64, 512, 4096)


# The networks


def stack(dim: int, depth: int) -> dict:
    return {"dim": dim, "depth": depth, "hidden": 4 * dim}


def geometry(size: int, patch: int, encoder: dict, decoder: dict | None = None) -> dict:
    return {"image_size": size, "patch_size": patch, "encoder": encoder, "decoder": decoder}


def stack_parameters(s: dict) -> int:
    d, h = s["dim"], s["hidden"]
    return s["depth"] * (4 * d * d + 2 * d * h + 9 * d + h) + 2 * d


def parameters(net: dict, scores: int = 1) -> int:
    """Of an autoencoder, or of a ranker that has no decoder and so many scores per token or image."""
    patches, values = (net["image_size"] // net["patch_size"]) ** 2, 3 * net["patch_size"] ** 2
    d = net["encoder"]["dim"]
    if net["decoder"] is None:
        return stack_parameters(net["encoder"]) + d * (patches + 3 + values) + scores * (d + 1)
    e = net["decoder"]["dim"]
    return (
        stack_parameters(net["encoder"])
        + stack_parameters(net["decoder"])
        + d * (patches + 3 + values)
        + e * (patches + 3 + d + values)
        + values
    )


VIT_S = geometry(224, 16, stack(384, 12))
VIT_B_MAE = geometry(224, 16, stack(768, 12), stack(512, 8))
SHIPPED_RANKER = geometry(112, 8, stack(256, 3))


@dataclass(frozen=True)
class Recipe:
    name: str
    flop: float  # of an image: forward and backward pass, teacher
    parameters: int  # trained; their gradients are added up
    batch: int  # images of a worker's pass
    total: int  # images of an update where that is fixed

    @property
    def gradient_bytes(self) -> float:
        return 4.0 * self.parameters


def recipes() -> dict[str, Recipe]:
    visible, patches = 19, 196
    step = row_flop(Row("", "train_step"), {"id": VIT_S, "teacher": VIT_B_MAE}, visible)
    pretrain = row_flop(Row("", "pretrain_step"), {"id": VIT_B_MAE}, 49)
    # On stored score maps: no teacher. All patches of whole photos are ranked.
    shipped = 3 * (stack_flop(patches + 1, SHIPPED_RANKER["encoder"]) + 2.0 * patches * 256 * (3 * 8 * 8 + 1))
    return {
        "shipped": Recipe("shipped ranker", shipped, parameters(SHIPPED_RANKER), 64, 64),
        "ranker": Recipe("ViT-S ranker, ViT-B scorer", step, parameters(VIT_S, patches), 256, 4096),
        "pretrain": Recipe("ViT-B autoencoder", pretrain, parameters(VIT_B_MAE), 256, 4096),
    }


# The machines: every number is an assumption, but those marked


@dataclass(frozen=True)
class Machine:
    name: str
    workers: int  # of a node
    rate: float  # FLOP/s of a worker
    pass_seconds: float  # of a pass whatever its batch: launches
    memory: float  # bytes/s of a worker, for the optimizer
    link: float  # bytes/s of each worker in each direction to the others of its node
    link_latency: float
    network: float  # bytes/s of a node in each direction, shared by its workers
    latency: float
    cores: int  # of a node, that decode images
    computes_on_cores: bool  # decoding takes time from the passes

    def with_network(self, gigabytes: float) -> "Machine":
        return replace(self, network=gigabytes * 1e9)


# H200: 989e12 FLOP/s in bf16 and 4.8e12 bytes/s (data sheet), of which 30 and 70 % are reached; 8 in a node.
GPU = Machine("GPU", 8, 0.3 * 989e12, 2e-3, 0.7 * 4.8e12, 450e9, 2e-6, 50e9, 5e-6, 96, False)
# 64 cores, fp32. Assumed: 80 GFLOP/s per core with two cores busy (ViT-S in doc/benchmarks.md reaches more); 70 % of it
# with all.
CPU = Machine("CPU node", 1, 0.7 * 64 * 80e9, 0, 300e9, math.inf, 0, 12.5e9, 5e-6, 64, True)


@dataclass(frozen=True)
class Setting:
    spread: float = 0.02  # standard deviation of a worker's time for a pass / its mean
    overlap: float = 0.0  # share of the reduction hidden behind the backward pass; ltrp-mpi: none
    local_steps: int = 1  # updates between reductions; ltrp-mpi: 1
    value_bytes: int = 4  # of a gradient on the wire; ltrp-mpi: 4
    algorithm: str = "ring"  # across nodes: ring or tree
    ordered: bool = False  # --deterministic yes: pieces are exchanged after each pass, handed out once
    input_limits: bool = False  # whether passes wait for images
    image_bytes: float = 34e3  # of a file: a photo packed with --side 256 (measured: the six sample photos)
    decode_seconds: float = 3.1e-3  # of a core for it, with the crop at 224 x 224 (measured)
    node_storage: float = 2e9  # bytes/s that a node reads
    all_storage: float = math.inf  # bytes/s of all nodes together: finite for a shared store
    checkpoint_minutes: float = 10.0  # ltrp's default
    checkpoint_every: int = 1000  # updates between comparisons of weights; ltrp's default
    checkpoint_rate: float = 1e9  # bytes/s of worker 0 to its disk
    checksum_rate: float = 1.9e9  # bytes/s (measured, ltrp_bench_reduce)
    failure_hours: float = 50e3  # of a worker; 419 failures in 54 days of 16,384 GPUs were reported for Llama 3
    restart_minutes: float = 5.0


# Adding up gradients


def ring(workers: int, size: float, bandwidth: float, latency: float) -> float:
    """Each hands on a piece of 1/workers, 2 (workers - 1) times. A direct exchange of the pieces takes as long: that is
    what `--deterministic yes` does."""
    return 2 * (workers - 1) * (latency + size / workers / bandwidth)


def tree(workers: int, size: float, bandwidth: float, latency: float) -> float:
    """Whole messages up and down a binomial tree: MPI_Iallreduce in place in Open MPI."""
    return 2 * math.ceil(math.log2(workers)) * (latency + size / bandwidth)


def reduction(machine: Machine, workers: int, size: float, algorithm: str = "ring") -> float:
    """Ring inside of each node; across nodes each worker of a node adds up its piece with its likes."""
    inside = min(workers, machine.workers)
    nodes = math.ceil(workers / machine.workers)
    seconds = ring(inside, size, machine.link, machine.link_latency)
    across = {"ring": ring, "tree": tree}[algorithm]
    if nodes > 1:
        seconds += across(nodes, size / inside, machine.network / inside, machine.latency)
    return seconds


def slowest(workers: int) -> float:
    """Expected largest of so many standard normal draws (Blom)."""
    return NormalDist().inv_cdf((workers - 0.375) / (workers + 0.25))


# An update


@dataclass(frozen=True)
class Update:
    images: int  # of all workers
    compute: float  # of the mean worker
    stragglers: float
    input: float  # waiting for images
    reduce: float  # not hidden
    optimizer: float
    saving: float  # checkpoints and comparisons, per update
    lost: float  # share of the time that failures cost

    @property
    def seconds(self) -> float:
        return self.compute + self.stragglers + self.input + self.reduce + self.optimizer + self.saving

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds * (1 - self.lost)


def input_rate(machine: Machine, workers: int, setting: Setting) -> float:
    """Images per second that a node can read; where decoding has cores of its own, decode as well."""
    nodes = math.ceil(workers / machine.workers)
    read = min(setting.node_storage, setting.all_storage / nodes) / setting.image_bytes
    return read if machine.computes_on_cores else min(read, machine.cores / setting.decode_seconds)


def update(
    recipe: Recipe, machine: Machine, workers: int, setting: Setting = Setting(), total: int = 0
) -> Update | None:
    """Of `total` images, or of recipe.batch per worker. None: there is less than an image for each."""
    per_worker = total / workers if total else recipe.batch
    if per_worker < 1:
        return None
    passes = math.ceil(per_worker / recipe.batch)
    compute = passes * machine.pass_seconds + per_worker * recipe.flop / machine.rate
    if machine.computes_on_cores:
        compute += per_worker * setting.decode_seconds / machine.cores
    # Differences between passes of one worker even out.
    stragglers = compute * setting.spread / math.sqrt(passes) * slowest(workers)
    on_node = per_worker * min(workers, machine.workers)
    waiting = (
        max(0.0, on_node / input_rate(machine, workers, setting) - compute - stragglers)
        if setting.input_limits
        else 0.0
    )
    size = recipe.gradient_bytes * setting.value_bytes / 4
    reduce = reduction(machine, workers, size, setting.algorithm) / setting.local_steps
    if setting.ordered:
        reduce *= (passes + 1) / 2
    reduce -= min(setting.overlap * reduce, 2 / 3 * compute)
    # The losses of each pass; whether all go on, and whether any has something to say.
    reduce += (2 + passes) * tree(workers, 8.0 * (workers + 1), machine.network / machine.workers, machine.latency)
    optimizer = (
        40.0 * recipe.parameters / machine.memory
    )  # scales and norms gradients, reads and writes moments, weights
    seconds = compute + stragglers + waiting + reduce + optimizer
    state = 3 * recipe.gradient_bytes
    saving = seconds * state / setting.checkpoint_rate / (60 * setting.checkpoint_minutes)
    saving += recipe.gradient_bytes / setting.checksum_rate / setting.checkpoint_every
    per_failure = 60 * (setting.checkpoint_minutes / 2 + setting.restart_minutes)
    lost = min(1.0, workers * per_failure / (3600 * setting.failure_hours))
    return Update(round(per_worker * workers), compute, stragglers, waiting, reduce, optimizer, saving, lost)


def efficiency(
    recipe: Recipe, machine: Machine, workers: int, setting: Setting = Setting(), total: int = 0
) -> float | None:
    """Images per second of a worker / those of one alone that has the same task."""
    one, many = update(recipe, machine, 1, setting, total), update(recipe, machine, workers, setting, total)
    return many and many.images_per_second / one.images_per_second / workers


# Tables in Markdown


def count(value: float) -> str:
    """Three digits, and commas."""
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{round(value, digits):,.{max(0, digits)}f}"


def rows_of(header: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *lines])


def cell(recipe: Recipe, machine: Machine, workers: int, setting: Setting = Setting(), total: int = 0) -> str:
    found = update(recipe, machine, workers, setting, total)
    if not found:
        return "–"
    share = efficiency(recipe, machine, workers, setting, total)
    return f"{count(found.images_per_second)}, {100 * share:.0f} %"


def work_table() -> str:
    lines = [
        [
            r.name,
            f"{r.flop / 1e9:.3g}",
            f"{r.parameters:,}",
            f"{r.gradient_bytes / 1e6:.3g}",
            f"{16e-9 * r.parameters:.2g}",
        ]
        for r in recipes().values()
    ]
    return rows_of(["recipe", "GFLOP per image", "parameters trained", "gradients, MB", "training state, GB"], lines)


def growth_table(machine: Machine) -> str:
    """Images per second and efficiency, at recipe.batch for each worker and at recipe.total for all."""
    found = recipes()
    columns = [(found["ranker"], 0), (found["pretrain"], 0), *((found[name], found[name].total) for name in found)]
    header = [
        machine.name + "s",
        *(f"{r.name.split(',')[0]}, {total or r.batch:,} {'in all' if total else 'each'}" for r, total in columns),
    ]
    return rows_of(header, [[f"{w:,}", *(cell(r, machine, w, total=total) for r, total in columns)] for w in COUNTS])


def parts_table(recipe: Recipe, machine: Machine, total: int, counts: tuple[int, ...]) -> str:
    def ms(value: float) -> str:
        return count(1e3 * value) if value >= 5e-5 else "0"

    lines = []
    for workers in counts:
        u = update(recipe, machine, workers, total=total)
        if u:
            lines.append(
                [
                    f"{workers:,}",
                    f"{total // workers:,}",
                    *(ms(v) for v in (u.compute, u.stragglers, u.reduce, u.optimizer, u.saving, u.seconds)),
                ]
            )
    return rows_of(
        [
            machine.name + "s",
            "images each",
            "passes",
            "slowest worker",
            "adding gradients",
            "optimizer",
            "saving",
            "all",
        ],
        lines,
    )


def algorithm_table() -> str:
    """Adding up gradients between CPU nodes."""
    columns = [
        (recipes()[key].gradient_bytes, algorithm) for key in ("shipped", "pretrain") for algorithm in ("ring", "tree")
    ]
    header = [
        "CPU nodes",
        *(f"{size / 1e6:.3g} MB, {'tree' if algorithm == 'tree' else 'ring or pieces'}" for size, algorithm in columns),
    ]
    return rows_of(
        header,
        [
            [f"{w:,}", *(count(1e3 * reduction(CPU, w, size, algorithm)) for size, algorithm in columns)]
            for w in COUNTS[1:]
        ],
    )


def assumption_table() -> str:
    s = Setting()
    lines = [
        [
            "FLOP/s of a worker",
            f"{GPU.rate / 1e12:.0f}e12: 30 % of an H200's data sheet, bf16",
            f"{CPU.rate / 1e12:.1f}e12: 64 cores, fp32, 70 % of 80e9 each (assumed)",
        ],
        ["fixed time of a pass", f"{1e3 * GPU.pass_seconds:g} ms", f"{CPU.pass_seconds:g}"],
        [
            "memory, for the optimizer (40 bytes per parameter)",
            f"{GPU.memory / 1e12:.1f} TB/s",
            f"{CPU.memory / 1e9:.0f} GB/s",
        ],
        [
            "workers of a node, link between them",
            f"{GPU.workers}, {GPU.link / 1e9:.0f} GB/s each way, {1e6 * GPU.link_latency:g} µs",
            f"{CPU.workers}",
        ],
        [
            "network of a node, latency",
            f"{GPU.network / 1e9:g} GB/s, {1e6 * GPU.latency:g} µs",
            f"{CPU.network / 1e9:g} GB/s, {1e6 * CPU.latency:g} µs",
        ],
        ["standard deviation of a worker's pass", f"{100 * s.spread:g} %", f"{100 * s.spread:g} %"],
        ["checkpoint", f"every {s.checkpoint_minutes:g} minutes at {s.checkpoint_rate / 1e9:g} GB/s", "the same"],
        [
            "a worker fails",
            f"every {s.failure_hours:,.0f} hours, and {s.restart_minutes:g} minutes are lost for the start",
            "the same",
        ],
    ]
    return rows_of(["assumption", "GPU", "CPU node"], lines)


def remedy_table(workers: int = 4096) -> str:
    recipe, usual = recipes()["pretrain"], Setting()
    ways = [
        ("256 images each", recipe, usual),
        ("1,024 images each, in 4 passes", recipe, usual),
        ("gradients of 2 bytes", recipe, replace(usual, value_bytes=2)),
        ("reduction hidden behind the backward pass", recipe, replace(usual, overlap=1.0)),
        ("weights averaged every 8 updates", recipe, replace(usual, local_steps=8)),
    ]
    lines = []
    for name, r, setting in ways:
        total = workers * 1024 if name.startswith("1,024") else 0
        cells = []
        for network in (400, 50, 12.5):
            machine = GPU.with_network(network)
            many = update(r, machine, workers, setting, total)
            one = update(r, machine, 1, setting, total // workers)
            cells.append(f"{100 * many.images_per_second / one.images_per_second / workers:.0f} %")
        lines.append([name, f"{(total or workers * r.batch):,}", *cells])
    return rows_of(["way", "images per update", "400 GB/s", "50 GB/s", "12.5 GB/s"], lines)


def input_table(measured_photo: tuple[float, float] = (68.5e3, 4.6e-3)) -> str:
    """What a node of 8 GPUs wants, and what it can read. measured_photo: bytes and seconds of a sample photo."""
    r, usual = recipes(), Setting()
    lines = []
    for name, size, decode in (
        ("photos as they are", *measured_photo),
        ("packed with `--side 256`", usual.image_bytes, usual.decode_seconds),
    ):
        setting = replace(usual, image_bytes=size, decode_seconds=decode)
        shared = replace(setting, all_storage=200e9)
        for recipe in (r["ranker"], r["pretrain"]):
            wanted = update(recipe, GPU, 8).images_per_second
            lines.append(
                [
                    name,
                    recipe.name,
                    count(wanted),
                    count(wanted * size / 1e9),
                    f"{math.ceil(wanted * decode)}",
                    count(input_rate(GPU, 8, setting)),
                    count(input_rate(GPU, 4096, shared)),
                ]
            )
    return rows_of(
        [
            "files",
            "recipe",
            "images/s wanted",
            "GB/s",
            "cores that decode",
            "images/s there",
            "of 512 nodes, shared store",
        ],
        lines,
    )


def tables() -> str:
    texts = [
        ("Work", work_table()),
        ("Assumptions", assumption_table()),
        ("GPUs: images/s, efficiency", growth_table(GPU)),
        ("CPU nodes: images/s, efficiency", growth_table(CPU)),
        (
            "Parts of an update of 4,096 images, ViT-B autoencoder, ms",
            parts_table(recipes()["pretrain"], GPU, 4096, COUNTS),
        ),
        ("Adding gradients between CPU nodes, ms", algorithm_table()),
        ("4,096 GPUs, ViT-B autoencoder: efficiency by network of a node", remedy_table()),
        ("Input of a node of 8 GPUs with 96 cores and 2 GB/s; shared store: 200 GB/s", input_table()),
    ]
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in texts)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("tables")
    draw = commands.add_parser("draw")
    draw.add_argument("folder", type=Path)
    draw.add_argument("--measured", type=Path, required=True)
    measure = commands.add_parser("measure")
    measure.add_argument("build", type=Path)
    measure.add_argument("file", type=Path)
    measure.add_argument("--rounds", type=int, default=2)
    compare = commands.add_parser("compare")
    compare.add_argument("--measured", type=Path, required=True)
    options = parser.parse_args(arguments)
    if options.command == "tables":
        print(tables())
    elif options.command == "draw":
        import scaling_figures

        scaling_figures.draw(options.folder, options.measured)
    else:
        import scaling_measure

        if options.command == "measure":
            scaling_measure.measure(options.build, options.file, options.rounds)
        else:
            print(scaling_measure.comparison(scaling_measure.read(options.measured)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
