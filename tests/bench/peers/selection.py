"""Choosing patches by score and by density-peak clusters, in NumPy and, batched, in PyTorch.

Both take the random numbers from a file, so that they choose the same patches as the library.
"""

from dataclasses import dataclass
from typing import Callable

import numpy as np


@dataclass
class Selection:
    """A command's input: features [n, L, p p 3], scores [n, L], noise of densities and of members [L] each."""

    features: np.ndarray
    scores: np.ndarray
    density_noise: np.ndarray
    member_noise: np.ndarray
    cluster: bool
    keep: int
    by_score: int
    neighbours: int


def read_selection(command: dict) -> Selection:
    n, patch, grid = command["n"], 16, 14
    pixels = np.fromfile(command["input"], np.float32).reshape(n, 3, grid, patch, grid, patch)
    features = np.ascontiguousarray(pixels.transpose(0, 2, 4, 3, 5, 1)).reshape(n, grid * grid, -1)
    cluster, keep = command["method"] == "cluster", command["keep_count"]
    noise = np.fromfile(command["noise"], np.float32).reshape(2, -1) if cluster else np.zeros((2, grid * grid))
    return Selection(features, np.fromfile(command["scores"], np.float32).reshape(n, -1), noise[0], noise[1], cluster,
                     keep, int(keep * command.get("score_share", 0.7)) if cluster else keep,
                     command.get("neighbours", 5))


def by_score_numpy(scores: np.ndarray, count: int) -> np.ndarray:
    return np.argpartition(-scores, count - 1)[:count] if count else np.empty(0, int)


def clusters_numpy(s: Selection, features: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Representatives of the largest clusters, in addition to the patches kept already."""
    values = features.astype(np.float64)
    squares = (values * values).sum(1)
    squared = np.maximum(squares[:, None] + squares[None] - 2 * values @ values.T, 0) / values.shape[1]
    np.fill_diagonal(squared, 0)
    distance = np.sqrt(squared)
    nearest = np.partition(squared, s.neighbours - 1, 1)[:, :s.neighbours]
    density = np.exp(-nearest.mean(1)) + 1e-6 * s.density_noise
    higher = density[None] > density[:, None]
    indicator = np.where(higher, distance, distance.max()).min(1)
    centres = np.argsort(-indicator * density, kind="stable")[:s.keep]
    assignment = distance[:, centres].argmin(1)
    assignment[centres] = np.arange(s.keep)
    size = np.bincount(assignment, minlength=s.keep)
    key = np.lexsort((s.member_noise, assignment))  # members of each cluster together, the highest noise last
    representative = key[np.cumsum(size) - 1]
    size[np.isin(representative, kept)] = 0
    return representative[np.argsort(-size, kind="stable")[:s.keep - len(kept)]]


class NumpyPeer:
    def __init__(self, threads: int) -> None:
        pass  # NumPy's products take OMP_NUM_THREADS / OPENBLAS_NUM_THREADS, which the parent has set

    def version(self) -> str:
        return f"NumPy {np.__version__}"

    def load(self, command: dict) -> dict:
        return {}

    def drop(self) -> None:
        pass

    def job(self, command: dict) -> Callable[[], dict]:
        s = read_selection(command)

        def run() -> dict:
            kept = []
            for scores, features in zip(s.scores, s.features):
                chosen = by_score_numpy(scores, s.by_score)
                if s.cluster:
                    chosen = np.concatenate([chosen, clusters_numpy(s, features, chosen)])
                kept.append(np.sort(chosen))
            return {"kept": np.stack(kept)}

        return run


def choose_torch(s: Selection) -> Callable[[], dict]:
    import torch

    features, scores = torch.from_numpy(s.features), torch.from_numpy(s.scores)
    density_noise, member_noise = torch.from_numpy(s.density_noise), torch.from_numpy(s.member_noise)
    n, patches = scores.shape

    def clusters(kept: torch.Tensor) -> torch.Tensor:
        distance = torch.cdist(features, features) / features.shape[-1] ** 0.5
        nearest = distance.topk(s.neighbours, largest=False).values
        density = torch.exp(-nearest.double().square().mean(-1)) + 1e-6 * density_noise
        higher = density[:, None] > density[:, :, None]
        largest = distance.amax((1, 2))[:, None, None]
        indicator = torch.where(higher, distance, largest).amin(-1)
        centres = (indicator * density).argsort(dim=1, descending=True, stable=True)[:, :s.keep]
        assignment = distance.gather(2, centres[:, None].expand(-1, patches, -1)).argmin(-1)
        assignment.scatter_(1, centres, torch.arange(s.keep).expand(n, -1))
        member = assignment[:, None] == torch.arange(s.keep)[:, None]
        size = member.sum(-1)
        representative = torch.where(member, member_noise, -1.0).argmax(-1)
        taken = torch.zeros(n, patches, dtype=torch.bool).scatter(1, kept, True)
        size = size.masked_fill(taken.gather(1, representative), 0)
        order = size.argsort(dim=1, descending=True, stable=True)[:, :s.keep - s.by_score]
        return representative.gather(1, order)

    @torch.inference_mode()
    def run() -> dict:
        kept = scores.topk(s.by_score, 1).indices
        if s.cluster:
            kept = torch.cat([kept, clusters(kept)], 1)
        return {"kept": kept.sort(1).values}

    return run
