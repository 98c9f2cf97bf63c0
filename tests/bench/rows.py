"""What is measured: the rows by name, and how much arithmetic each is."""

from dataclasses import dataclass
from fnmatch import fnmatch

PRESETS = {"tiny": (192, 12), "small": (384, 12), "base": (768, 12)}
TOKEN_PRESETS = ("token14", "token28", "token42")  # token heads on grids of so many patches a side


@dataclass(frozen=True)
class Row:
    name: str
    kind: str  # rank, score, train_step, pretrain_step, select, folder
    preset: str = ""  # tiny, small, base, token14, token28, token42, or shipped: the models in modules/ltrp/models
    precision: str = "fp32"
    images: int = 1
    per_image: bool = False  # times are divided by the number of images
    removal: str = "decoder"
    method: str = ""
    mask_ratio: float = 0.9
    sample_share: float = 1.0  # of the hidden patches, in approximate scores

    @property
    def unit(self) -> str:
        if self.kind == "folder":
            return f"a folder of {self.images} photos"
        if self.images == 1 or self.per_image:
            return "an image" + (f", in batches of {self.images}" if self.per_image else "")
        return f"a batch of {self.images}"


def all_rows() -> list[Row]:
    rows = []
    for preset in ("shipped", *PRESETS):
        for images in (1, 16):
            for precision in ("fp32", "bf16", "int8"):
                rows.append(Row(f"ranker-{preset}-b{images}-{precision}", "rank", preset, precision, images))
    for preset in TOKEN_PRESETS:
        for precision in ("fp32", "bf16", "int8"):
            rows.append(Row(f"ranker-{preset}-b1-{precision}", "rank", preset, precision))
    for preset in ("shipped", "base"):
        for removal, precisions in (("decoder", ("fp32", "bf16", "int8")), ("encoder", ("fp32", "bf16"))):
            for precision in precisions:
                rows.append(Row(f"score-{preset}-{removal}-{precision}", "score", preset, precision, 4, True, removal))
        for precision in ("fp32", "bf16", "int8"):
            rows.append(Row(f"score-{preset}-approximate-{precision}", "score", preset, precision, 4, True,
                            sample_share=0.3))
    for precision in ("fp32", "bf16"):
        rows.append(Row(f"train-step-small-{precision}", "train_step", "small", precision, 4, True))
    for precision in ("fp32", "bf16"):
        rows.append(Row(f"pretrain-base-{precision}", "pretrain_step", "base", precision, 8, True, mask_ratio=0.75))
    for method in ("topk", "cluster"):
        rows.append(Row(f"select-{method}", "select", method=method, images=16))
    rows.append(Row("rank-folder", "folder", "shipped", images=500))
    return rows


def chosen(patterns: list[str]) -> list[Row]:
    """Rows whose names match a pattern (`ranker-*-b1-fp32`) or begin with it at a hyphen (`select`)."""
    rows, result = all_rows(), []
    for pattern in patterns:
        matching = [row for row in rows if fnmatch(row.name, pattern) or row.name.startswith(pattern + "-")]
        if not matching:
            raise ValueError(f"no row is called '{pattern}'; --list names them")
        result += [row for row in matching if row not in result]
    return result


def block_flop(tokens: int, dim: int, hidden: int) -> float:
    """One transformer block on a sequence: its four layers and its attention."""
    return 2.0 * tokens * (4 * dim * dim + 2 * dim * hidden) + 4.0 * tokens * tokens * dim


def stack_flop(tokens: int, stack: dict) -> float:
    return stack["depth"] * block_flop(tokens, stack["dim"], stack["hidden"])


def row_flop(row: Row, models: dict[str, dict], visible: int) -> float | None:
    """FLOP of the method as it is defined, per call: exact short cuts earn what they save.

    models: geometries of the networks in use, "id" and, for a training step, "teacher".
    """
    if row.kind in ("select", "folder"):
        return None
    geometry = models["id"]
    values = 3 * geometry["patch_size"] ** 2
    tokens = (geometry["image_size"] // geometry["patch_size"]) ** 2 + 1
    dim = geometry["encoder"]["dim"]
    if row.kind == "rank":
        one = stack_flop(tokens, geometry["encoder"]) + 2.0 * (tokens - 1) * dim * (values + 1)
    elif row.kind == "score":
        one = score_flop(geometry, tokens, visible, row.removal)
    elif row.kind == "train_step":
        one = score_flop(models["teacher"], tokens, visible, "decoder")
        one += 3 * (stack_flop(visible + 1, geometry["encoder"]) + 2.0 * visible * dim * values)
    else:
        decoder = geometry["decoder"]
        one = stack_flop(visible + 1, geometry["encoder"]) + stack_flop(tokens, decoder)
        one += 2.0 * visible * dim * values + 2.0 * (visible + 1) * dim * decoder["dim"]
        one = 3 * (one + 2.0 * (tokens - 1 - visible) * decoder["dim"] * values)
    return row.images * one


def score_flop(geometry: dict, tokens: int, visible: int, removal: str) -> float:
    """The anchor and one variant per visible patch, of an image."""
    decoder, encoder = geometry["decoder"], geometry["encoder"]
    values = 3 * geometry["patch_size"] ** 2
    decode = stack_flop(tokens, decoder) + 2.0 * (tokens - 1 - visible) * decoder["dim"] * values
    encode = stack_flop(visible + 1, encoder) + 2.0 * (visible + 1) * encoder["dim"] * decoder["dim"]
    runs = 1 + visible
    return 2.0 * visible * encoder["dim"] * values + (runs if removal == "encoder" else 1) * encode + runs * decode


def layer_shapes(rows: int, stack: dict) -> list[list[int]]:
    """The products [m, n, k] of a block on so many tokens."""
    dim, hidden = stack["dim"], stack["hidden"]
    return [[rows, 3 * dim, dim], [rows, dim, dim], [rows, hidden, dim], [rows, dim, hidden]]


def peak_shapes(row: Row, models: dict[str, dict], visible: int) -> list[list[int]]:
    """The products that make most of the row's work, to be timed alone."""
    geometry = models.get("teacher", models["id"])
    tokens = (geometry["image_size"] // geometry["patch_size"]) ** 2 + 1
    if row.kind == "rank":
        return layer_shapes(row.images * tokens, geometry["encoder"])
    if row.kind in ("score", "train_step"):  # an image's variants at a time
        return layer_shapes(visible * (tokens - 1), geometry["decoder"])
    return (layer_shapes(row.images * (visible + 1), geometry["encoder"]) * geometry["encoder"]["depth"]
            + layer_shapes(row.images * tokens, geometry["decoder"]) * geometry["decoder"]["depth"])
