"""The arithmetic of scaling_model.py against messages that are passed one by one, and the tables of its page."""

import math
import random
import sys
import unittest
import xml.etree.ElementTree
from dataclasses import replace
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import scaling_figures
import scaling_measure
import scaling_model as model

ROOT = Path(__file__).resolve().parents[2]
SIZE, BANDWIDTH, LATENCY = 4.8e6, 2e9, 7e-6


class Net:
    """Workers with clocks, and values[worker][piece], each the set of workers whose gradients are in it."""

    def __init__(self, workers: int, pieces: int) -> None:
        self.clock = [0.0] * workers
        self.values = [[frozenset([w])] * pieces for w in range(workers)]

    def step(self, messages: list[tuple[int, int, int | None]], seconds: float, adds: bool) -> None:
        """Messages (from, to, piece; None: all pieces) that are under way at the same time."""
        clock, values = list(self.clock), [list(v) for v in self.values]
        for sender, receiver, piece in messages:
            arrival = max(self.clock[sender], self.clock[receiver]) + seconds
            clock[sender] = max(clock[sender], arrival)
            clock[receiver] = max(clock[receiver], arrival)
            for p in range(len(values[sender])) if piece is None else [piece]:
                old, new = self.values[receiver][p], self.values[sender][p]
                if adds:
                    assert not old & new, "gradients are added twice"
                values[receiver][p] = old | new if adds else new
        self.clock, self.values = clock, values

    def seconds(self) -> float:
        """Of the last worker, once all have everything."""
        everyone = frozenset(range(len(self.clock)))
        assert all(value == everyone for pieces in self.values for value in pieces), "a sum is incomplete"
        return max(self.clock)


def ring_phase(net: Net, groups: list[list[int]], pieces: list[list[list[int]]], seconds: float, adds: bool) -> None:
    """Each worker of each group hands a piece on to the next, as often as it has others. pieces[group][position]: what
    is handed over together."""
    size = len(groups[0])
    for step in range(size - 1):
        messages = []
        for group, cut in zip(groups, pieces):
            for i, worker in enumerate(group):
                position = (i - step) % size if adds else (i + 1 - step) % size
                messages += [(worker, group[(i + 1) % size], piece) for piece in cut[position]]
        net.step(messages, seconds, adds)


def simulated_ring(workers: int) -> float:
    net, seconds = Net(workers, workers), LATENCY + SIZE / workers / BANDWIDTH
    for adds in (True, False):
        ring_phase(net, [list(range(workers))], [[[p] for p in range(workers)]], seconds, adds)
    return net.seconds()


def simulated_pieces(workers: int) -> float:
    """Each sends each other one its piece; they are added up, and each sends its sum to all."""
    net, seconds = Net(workers, workers), LATENCY + SIZE / workers / BANDWIDTH
    own = [list(v) for v in net.values]
    for step in range(1, workers):
        messages = [(w, (w + step) % workers, (w + step) % workers) for w in range(workers)]
        sums = [list(v) for v in net.values]
        net.values = [[own[w][p] if p != w else sums[w][p] for p in range(workers)] for w in range(workers)]
        net.step(messages, seconds, True)
    for step in range(1, workers):
        net.step([(w, (w + step) % workers, w) for w in range(workers)], seconds, False)
    return net.seconds()


def simulated_tree(workers: int) -> float:
    net, seconds, rounds = Net(workers, 1), LATENCY + SIZE / BANDWIDTH, math.ceil(math.log2(workers))
    for r in range(rounds):
        net.step([(w, w - 2**r, None) for w in range(2**r, workers, 2 ** (r + 1))], seconds, True)
    for r in range(rounds):
        net.step([(w, w + 2**r, None) for w in range(2**r) if w + 2**r < workers], seconds, False)
    return net.seconds()


def simulated_nodes(machine: model.Machine, nodes: int) -> float:
    """Pieces are added up inside of each node, each worker's piece across nodes, and handed out inside."""
    g = machine.workers
    net = Net(g * nodes, g * nodes)
    inside = [[n * g + i for i in range(g)] for n in range(nodes)]
    across = [[n * g + i for n in range(nodes)] for i in range(g)]
    large = [[[i * nodes + n for n in range(nodes)] for i in range(g)]] * nodes
    # After the first phase worker i of a node has the sum of piece i + 1.
    small = [[[(i + 1) % g * nodes + n] for n in range(nodes)] for i in range(g)]
    link = machine.link_latency + SIZE / g / machine.link
    network = machine.latency + SIZE / g / nodes / (machine.network / g)
    ring_phase(net, inside, large, link, True)
    ring_phase(net, across, small, network, True)
    ring_phase(net, across, small, network, False)
    ring_phase(net, inside, large, link, False)
    return net.seconds()


class Reduction(unittest.TestCase):
    def test_ring_and_direct_exchange(self) -> None:
        for workers in (2, 3, 5, 8, 16):
            expected = model.ring(workers, SIZE, BANDWIDTH, LATENCY)
            self.assertAlmostEqual(simulated_ring(workers), expected, places=12)
            self.assertAlmostEqual(simulated_pieces(workers), expected, places=12)

    def test_tree(self) -> None:
        for workers in (2, 3, 4, 5, 8, 13, 16, 64):
            self.assertAlmostEqual(simulated_tree(workers), model.tree(workers, SIZE, BANDWIDTH, LATENCY), places=12)

    def test_nodes(self) -> None:
        machine = replace(model.GPU, workers=4, network=BANDWIDTH, latency=LATENCY)
        for nodes in (2, 3, 5):
            self.assertAlmostEqual(
                simulated_nodes(machine, nodes), model.reduction(machine, 4 * nodes, SIZE), places=12
            )
        self.assertEqual(model.reduction(machine, 1, SIZE), 0)
        self.assertEqual(model.reduction(model.CPU, 1, SIZE), 0)


class Parts(unittest.TestCase):
    def test_parameters_are_those_of_the_models(self) -> None:
        """doc/model-card.md; ViT-S with a class head of 196 scores: `ltrp info`."""
        self.assertEqual(model.parameters(model.SHIPPED_RANKER), 2470145)
        self.assertEqual(model.parameters(model.geometry(112, 8, model.stack(256, 10), model.stack(192, 3))), 9457600)
        self.assertEqual(model.parameters(model.VIT_B_MAE), 111907840)

    def test_flop_are_those_of_the_products(self) -> None:
        tokens, dim, total = 197, 256, 0.0
        for _ in range(3):
            for rows, columns, inner in (
                (tokens, 3 * dim, dim),
                (tokens, dim, dim),
                (tokens, 4 * dim, dim),
                (tokens, dim, 4 * dim),
            ):
                total += 2 * rows * columns * inner
            for _ in range(4):  # heads: queries x keys, weights x values
                total += 2 * tokens * tokens * dim / 4 + 2 * tokens * dim / 4 * tokens
        total += 2 * 196 * dim * 192 + 2 * 196 * dim  # patches, scores
        self.assertAlmostEqual(model.recipes()["shipped"].flop / (3 * total), 1, places=9)

    def test_the_slowest_of_many(self) -> None:
        draw = random.Random(5)
        for workers in (2, 8, 64):
            mean = sum(max(draw.gauss(0, 1) for _ in range(workers)) for _ in range(4000)) / 4000
            self.assertAlmostEqual(model.slowest(workers), mean, delta=0.08)
        self.assertAlmostEqual(model.slowest(1), 0)

    def test_an_update(self) -> None:
        recipe, machine = model.Recipe("r", 1e9, 1000, 4, 16), replace(model.GPU, rate=1e12, pass_seconds=0.5)
        fixed = model.update(recipe, machine, 2, total=16)  # two passes of four images each
        self.assertAlmostEqual(fixed.compute, 2 * 0.5 + 8e-3)
        self.assertEqual(fixed.images, 16)
        self.assertIsNone(model.update(recipe, machine, 32, total=16))
        self.assertAlmostEqual(model.efficiency(recipe, machine, 1), 1)
        slow = model.Setting(input_limits=True, node_storage=10.0, image_bytes=5.0, decode_seconds=0)
        self.assertAlmostEqual(model.input_rate(replace(machine, computes_on_cores=True), 1, slow), 2)
        waits = model.Setting(input_limits=True, node_storage=10.0, image_bytes=5.0, decode_seconds=1e-9)
        found = model.update(recipe, machine, 1, waits)
        self.assertAlmostEqual(found.compute + found.stragglers + found.input, 2)  # four images at two per second

    def test_gradients_are_added_up_less_often_or_more(self) -> None:
        recipe, usual = model.recipes()["pretrain"], model.Setting()

        def reduce(total: int = 0, machine: model.Machine = model.GPU, **settings: float) -> float:
            return model.update(recipe, machine, 64, replace(usual, **settings), total).reduce

        gradients = model.reduction(model.GPU, 64, recipe.gradient_bytes)
        losses = 12 * (model.GPU.latency + 8 * 65 / (model.GPU.network / 8))  # of one pass: a tree of six levels
        self.assertAlmostEqual(reduce(), gradients + 3 * losses)
        self.assertAlmostEqual(reduce(local_steps=8), gradients / 8 + 3 * losses)
        self.assertAlmostEqual(
            reduce(value_bytes=2) - reduce(), model.reduction(model.GPU, 64, recipe.gradient_bytes / 2) - gradients
        )
        self.assertAlmostEqual(reduce(overlap=0.5), gradients / 2 + 3 * losses)
        self.assertAlmostEqual(reduce(total=64 * 1024), gradients + 6 * losses)
        self.assertAlmostEqual(reduce(total=64 * 1024, ordered=True), gradients * 5 / 2 + 6 * losses)
        slow = model.GPU.with_network(0.01)  # no more is hidden than there is backward pass
        compute = model.update(recipe, slow, 64).compute
        self.assertAlmostEqual(reduce(machine=slow) - reduce(machine=slow, overlap=1.0), 2 / 3 * compute)


def planted() -> list[dict]:
    """Measurements of a machine where all costs are proportional: 1 s a batch, 0.5 s an optimizer step."""
    lines = [{"measure": "input", "set": "photos", "bytes_per_image": 1000, "processor_seconds_per_image": 0.001}]
    sizes = [*scaling_measure.SIZES, scaling_measure.GRADIENT_BYTES]
    for size in sizes:
        lines.append(
            {"measure": "reduce", "workers": 1, "form": "checksum", "bytes": size, "processor_seconds": size * 1e-9}
        )
        for workers in scaling_measure.COUNTS:
            for form in ("allreduce", "exchange", "share", "allreduce, ring"):
                seconds = (workers - 1) * size * 1e-9
                lines.append(
                    {
                        "measure": "reduce",
                        "workers": workers,
                        "form": form,
                        "bytes": size,
                        "seconds": seconds,
                        "processor_seconds": seconds,
                        "busiest_processor_seconds": seconds / workers,
                    }
                )
    add = scaling_measure.GRADIENT_BYTES * 1e-9
    for batch in scaling_measure.BATCHES:

        def line(workers: int, accumulate: int, deterministic: str, seconds: float) -> dict:
            return {
                "measure": "update",
                "workers": workers,
                "batch": batch,
                "accumulate": accumulate,
                "deterministic": deterministic,
                "processor_seconds": seconds,
            }

        lines += [line(1, 8, "yes", 8.5), line(1, 1, "yes", 1.5)]
        for w in scaling_measure.COUNTS:
            lines += [
                line(w, 8, "no", 8 + w / 2 + (w - 1) * add),
                line(w, 8, "yes", 8 + w / 2 + (w - 1) * add * (8 / w + 1)),
            ]
    return lines


class Measured(unittest.TestCase):
    def test_prediction_of_an_update(self) -> None:
        lines = planted()
        for (batch, workers, _, deterministic), seconds in scaling_measure.updates(lines).items():
            if workers > 1:
                self.assertAlmostEqual(
                    scaling_measure.predicted_update(lines, batch, workers, deterministic), seconds[0]
                )
        found = scaling_measure.reductions(lines)
        self.assertAlmostEqual(found["ordered", 8, 1024]["processor_seconds"], 14 * 1024e-9)
        self.assertEqual(scaling_measure.growth(8), (4, 7))

    def test_figures_are_xml(self) -> None:
        for content in (scaling_figures.model_figure(), scaling_figures.measured_figure(planted())):
            root = xml.etree.ElementTree.fromstring(content)
            self.assertTrue(root.tag.endswith("svg"))
            self.assertNotIn("nan", content)

    def test_the_page_has_the_numbers_of_the_script(self) -> None:
        page = (ROOT / "doc/scaling-model.md").read_text(encoding="utf-8")
        lines = scaling_measure.read(ROOT / "doc/scaling-measured.jsonl")
        printed = set((model.tables() + "\n" + scaling_measure.comparison(lines)).splitlines())
        rows = [
            line for line in page.splitlines() if line.startswith("| ") and any(c.isdigit() for c in line.split("|")[2])
        ]
        self.assertGreater(len(rows), 20)
        self.assertEqual([row for row in rows if row not in printed], [])
        for name, content in (
            ("scaling-model.svg", scaling_figures.model_figure()),
            ("scaling-measured.svg", scaling_figures.measured_figure(lines)),
        ):
            self.assertEqual((ROOT / "doc/images" / name).read_text(encoding="utf-8"), content, name)


if __name__ == "__main__":
    unittest.main()
