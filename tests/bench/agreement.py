"""Do two sets of scores say the same? What is measured must first be right."""

import numpy as np

# What a peer has to reach, against the library's fp32 scores, for its time to count. The bounds only tell a wrong
# computation from a right one at that precision; how close each came is in the table.
BOUNDS = {
    "fp32": {"spearman": 0.999, "relative": 1e-3},
    "bf16": {"spearman": 0.95, "relative": 0.5},
    "int8": {"spearman": 0.90, "relative": 1.0},
    # Photos that each side reads and resizes itself, to 8 bits: a value that rounds the other way moves a score further
    # than the arithmetic of the network does.
    "photos": {"spearman": 0.9999, "relative": 1e-2},
}
KEEP = 0.25


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of a row, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    x, y = ranks(a), ranks(b)
    if x.std() == 0 or y.std() == 0:
        return float(np.array_equal(x, y))
    return float(np.corrcoef(x, y)[0, 1])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the patches kept by one that the other keeps too."""
    count = max(1, int(len(a) * KEEP))
    return len(set(np.argsort(-a)[:count]) & set(np.argsort(-b)[:count])) / count


def compare_scores(reference: list, other: list) -> dict:
    """Both [images][patches]. Differences are also given relative to the spread of the reference."""
    a, b = np.asarray(reference, np.float64), np.asarray(other, np.float64)
    if a.shape != b.shape or not np.isfinite(b).all():
        return {"finite": False, "shapes": [list(a.shape), list(b.shape)]}
    difference = float(np.abs(a - b).max())
    each = [spearman(x, y) for x, y in zip(a, b)]
    return {"finite": True, "max_abs": difference, "relative": difference / max(float(np.ptp(a, axis=1).max()), 1e-30),
            "spearman_mean": float(np.mean(each)), "spearman_min": float(np.min(each)),
            "kept_overlap": float(np.mean([overlap(x, y) for x, y in zip(a, b)])), "images": len(a)}


def scores_agree(result: dict, precision: str, random_pseudo_scores: bool = False) -> bool:
    if random_pseudo_scores and precision != "fp32":
        # With random weights a removed patch changes so little that rounding outweighs it, whoever computes: what
        # reduced precision does to pseudo-scores is judged in the shipped rows.
        return result["finite"]
    bound = BOUNDS[precision]
    return (result["finite"] and result["spearman_mean"] >= bound["spearman"]
            and result["relative"] <= bound["relative"])


def compare_losses(reference: list, other: list) -> dict:
    a, b = np.asarray(reference), np.asarray(other)
    finite = a.shape == b.shape and bool(np.isfinite(b).all())
    return {"finite": finite, "losses": [list(reference), list(other)],
            "relative": float((np.abs(a - b) / np.abs(a)).max()) if finite else None}


def losses_agree(result: dict, precision: str) -> bool:
    return result["finite"] and result["relative"] <= (1e-3 if precision == "fp32" else 5e-2)


def compare_choices(reference: list, other: list) -> dict:
    shares = [len(set(a) & set(b)) / len(a) for a, b in zip(reference, other)]
    return {"kept_overlap": float(np.mean(shares)) if len(reference) == len(other) else 0.0, "images": len(reference)}


def choices_agree(result: dict) -> bool:
    return result["kept_overlap"] >= 0.99


def describe(result: dict) -> str:
    if not result.get("finite", True):
        return "values that are not finite, or of another shape"
    if "losses" in result:
        return f"losses within {result['relative']:.1e}"
    if "max_abs" in result:
        return (f"Spearman {result['spearman_mean']:.4f} (least {result['spearman_min']:.4f}), "
                f"kept at 25 % {result['kept_overlap']:.3f}, "
                f"difference {result['max_abs']:.1e} ({result['relative']:.1e} of the spread)")
    return f"kept {result['kept_overlap']:.4f}"
