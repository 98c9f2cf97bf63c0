"""The figures of doc/scaling-model.md as SVG."""

import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path

import scaling_measure
from scaling_model import CPU, GPU, Machine, Recipe, Setting, efficiency, recipes

COLOURS = ["#00798c", "#d1495b", "#6a4c93"]
WIDTH, HEIGHT = 410, 300  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 58, 94, 34, 46


@dataclass
class Curve:
    name: str  # stands at its end
    colour: str
    points: list[tuple[float, float]]
    dots: bool = False
    dashed: bool = False
    area: bool = False
    label_shift: float = 0


@dataclass
class Panel:
    title: str
    x_label: str
    y_label: str
    x: tuple[float, float]  # both axes: from, to
    y: tuple[float, float]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    y_logarithmic: bool = False
    curves: list[Curve] = field(default_factory=list)


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def text(x: float, y: float, content: str, attributes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{" " + attributes if attributes else ""}>{escaped(content)}</text>\n'


def panel_body(panel: Panel, left: float, top: float) -> str:
    x0, x1, y0, y1 = left + LEFT, left + WIDTH - RIGHT, top + HEIGHT - BOTTOM, top + TOP

    def across(value: float) -> float:
        return x0 + math.log(value / panel.x[0]) / math.log(panel.x[1] / panel.x[0]) * (x1 - x0)

    def up(value: float) -> float:
        low, high = panel.y
        share = math.log(value / low) / math.log(high / low) if panel.y_logarithmic else (value - low) / (high - low)
        return y0 + share * (y1 - y0)

    body = text(x0, top + 20, panel.title, 'class="t"')
    for value, label in panel.y_ticks:
        body += f'<path d="M{x0} {up(value):.1f}H{x1}" class="g"/>\n' + text(
            x0 - 6, up(value) + 4, label, 'text-anchor="end"'
        )
    for value, label in panel.x_ticks:
        body += f'<path d="M{across(value):.1f} {y0}v4" class="a"/>\n'
        body += text(across(value), y0 + 17, label, 'text-anchor="middle"')
    body += f'<path d="M{x0} {y0}H{x1}" class="a"/>\n' + text(
        (x0 + x1) / 2, y0 + 35, panel.x_label, 'text-anchor="middle"'
    )
    middle = (y0 + y1) / 2
    body += text(
        left + 14, middle, panel.y_label, f'text-anchor="middle" transform="rotate(-90 {left + 14:.1f} {middle:.1f})"'
    )
    for curve in panel.curves:
        places = [(across(x), up(y)) for x, y in curve.points]
        if curve.dots:
            body += (
                "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{curve.colour}"/>' for x, y in places) + "\n"
            )
        elif curve.area:
            path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
            body += f'<path d="{path}Z" fill="{curve.colour}" fill-opacity="0.2"/>\n'
        else:
            path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
            dashes = ' stroke-dasharray="5 3"' if curve.dashed else ""
            body += f'<path d="{path}" fill="none" stroke="{curve.colour}" stroke-width="1.8"{dashes}/>\n'
        if not curve.name:
            continue
        x, y = places[-1]
        body += text(x + 7, y + 4 + curve.label_shift, curve.name, f'fill="{curve.colour}"')
    return body


def document(panels: list[Panel], columns: int = 2) -> str:
    rows = math.ceil(len(panels) / columns)
    width, height = columns * WIDTH, rows * HEIGHT
    body = "".join(panel_body(p, i % columns * WIDTH, i // columns * HEIGHT) for i, p in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12" fill="#333">\n'
        "<style>.t{font-size:14px;font-weight:bold}.g{stroke:#ddd}"
        f'.a{{stroke:#888}}</style>\n<rect width="100%" height="100%" fill="#fff"/>\n{body}</svg>\n'
    )


PERCENT = [(share / 100, f"{share} %") for share in range(0, 101, 25)]


def efficiency_panel(
    title: str, machine: Machine, recipe: Recipe, total: int, curves: list[tuple[str, float, str, float]]
) -> Panel:
    """curves: name, GB/s of a node, algorithm, shift of the label"""
    ticks = [(float(8**i), f"{8**i:,}") for i in range(5)]
    panel = Panel(title, machine.name + "s", "efficiency", (1, 4096), (0, 1), ticks, PERCENT)
    for colour, (name, network, algorithm, shift) in zip(COLOURS, curves):
        points = []
        for i in range(13):
            share = efficiency(recipe, machine.with_network(network), 2**i, Setting(algorithm=algorithm), total)
            if share is not None:
                points.append((float(2**i), share))
        panel.curves.append(Curve(name, colour, points, dashed=algorithm == "tree", label_shift=shift))
    return panel


def model_figure() -> str:
    recipe = recipes()["pretrain"]
    networks = [(f"{n:g} GB/s", n, "ring") for n in (400.0, 50.0, 12.5)]
    ways = [("pieces", 12.5, "ring"), ("tree", 12.5, "tree")]
    return document(
        [
            efficiency_panel("GPUs, 256 images on each", GPU, recipe, 0, [(*n, 0) for n in networks]),
            efficiency_panel(
                "GPUs, 4,096 images per update", GPU, recipe, 4096, [(*n, s) for n, s in zip(networks, (-30, -15, 0))]
            ),
            efficiency_panel("CPU nodes, 256 images on each", CPU, recipe, 0, [(*w, 0) for w in ways]),
            efficiency_panel(
                "CPU nodes, 4,096 images per update", CPU, recipe, 4096, [(*w, s) for w, s in zip(ways, (0, 4))]
            ),
        ]
    )


def reduction_panel(title: str, form: str, found: dict) -> Panel:
    sizes = scaling_measure.SIZES
    panel = Panel(
        title,
        "size of the gradients",
        "processor time of all, ms",
        (sizes[0], sizes[-1]),
        (0.03, 2000),
        [(sizes[i], label) for i, label in ((0, "1 KiB"), (2, "16"), (4, "256"), (5, "1 MiB"), (7, "16"), (8, "64"))],
        [(0.1, "0.1"), (1, "1"), (10, "10"), (100, "100"), (1000, "1000")],
        y_logarithmic=True,
    )
    for colour, workers in zip(COLOURS, (2, 4, 8)):
        measured = [(s, 1e3 * found[form, workers, s]["processor_seconds"]) for s in sizes]
        panel.curves.append(
            Curve(f"{workers} workers", colour, measured, dots=True, label_shift={2: 14, 4: 2, 8: -6}[workers])
        )
        if workers > 2:
            low, high = scaling_measure.growth(workers)
            two = [(s, 1e3 * found[form, 2, s]["processor_seconds"]) for s in sizes]
            panel.curves.append(
                Curve("", colour, [(s, low * t) for s, t in two] + [(s, high * t) for s, t in reversed(two)], area=True)
            )
    return panel


def update_panel(title: str, deterministic: str, lines: list[dict]) -> Panel:
    found = scaling_measure.updates(lines)
    panel = Panel(
        title, "workers", "best speed-up / workers", (1, 8), (0, 1), [(w, str(w)) for w in (1, 2, 4, 8)], PERCENT
    )
    for colour, batch in zip(COLOURS, scaling_measure.BATCHES):
        alone = statistics.median(found[batch, 1, scaling_measure.ACCUMULATE, "yes"])
        measured, model = [(1.0, 1.0)], [(1.0, 1.0)]
        for workers in scaling_measure.COUNTS:
            took = statistics.median(found[batch, workers, scaling_measure.ACCUMULATE, deterministic])
            measured.append((workers, alone / took))
            model.append((workers, alone / scaling_measure.predicted_update(lines, batch, workers, deterministic)))
        panel.curves += [Curve(f"batches of {batch}", colour, measured, dots=True), Curve("", colour, model)]
    return panel


def measured_figure(lines: list[dict]) -> str:
    found = scaling_measure.reductions(lines)
    return document(
        [
            reduction_panel("Adding gradients, --deterministic yes", "ordered", found),
            reduction_panel("Adding gradients, --deterministic no", "allreduce", found),
            update_panel("An update, --deterministic yes", "yes", lines),
            update_panel("An update, --deterministic no", "no", lines),
        ]
    )


def draw(folder: Path, measured: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("scaling-model.svg", model_figure()),
        ("scaling-measured.svg", measured_figure(scaling_measure.read(measured))),
    ):
        (folder / name).write_text(content, encoding="utf-8")
        print(f"{folder / name}: {len(content.encode()) / 1e3:.0f} kB")
