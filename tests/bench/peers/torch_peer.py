"""PyTorch as a peer: ranking, pseudo-scoring, training, choosing patches."""

import contextlib
import time
from typing import Callable

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from selection import choose_torch, read_selection
from torch_models import MaskedAutoencoder, Ranker, complement, take


def pseudo_scores(mae: MaskedAutoencoder, pixels: Tensor, keep: Tensor, removal: str, dropped: bool) -> Tensor:
    """Leave-one-out scores [n, V] of the visible patches keep [n, V].

    All variants of all images are one batch. Decoder removal, `dropped`: the removed token is left out of the sequence;
    else it is masked as a key. What is compared, the hidden patches, sees the same either way.
    """
    n, visible = keep.shape
    hidden = complement(keep, mae.patches)
    embedded = mae.embed(pixels, keep)
    anchor_input = mae.decoder_input(mae.encode(embedded), keep)
    each_hidden = hidden.repeat_interleave(visible, 0)
    if removal == "encoder":
        off = torch.eye(visible + 1, dtype=torch.bool)[1:].repeat(n, 1)
        latent = mae.encode(embedded.repeat_interleave(visible, 0), ~off, off)
        x = torch.cat([anchor_input, mae.decoder_input(latent, keep.repeat_interleave(visible, 0))])
        rows = mae.predict(mae.decode(x), torch.cat([hidden, each_hidden]))
        anchor, variants = rows[:n], rows[n:]
    elif dropped:
        tokens = torch.arange(mae.patches).expand(n, visible, -1)  # one fewer than there are
        places = (tokens + (tokens >= 1 + keep[..., None])).flatten(0, 1)
        x = take(anchor_input.repeat_interleave(visible, 0), places)
        shifted = each_hidden - (each_hidden > keep.flatten()[:, None]).long()
        variants = mae.predict(mae.decode(x), shifted)
        anchor = mae.predict(mae.decode(anchor_input), hidden)
    else:
        keys = torch.ones(n, visible, 1 + mae.patches, dtype=torch.bool).scatter(2, 1 + keep[..., None], False)
        keys = torch.cat([torch.ones(n, 1 + mae.patches, dtype=torch.bool), keys.flatten(0, 1)])
        x = torch.cat([anchor_input, anchor_input.repeat_interleave(visible, 0)])
        rows = mae.predict(mae.decode(x, keys), torch.cat([hidden, each_hidden]))
        anchor, variants = rows[:n], rows[n:]
    variants = variants.float().view(n, visible, *variants.shape[1:])
    return (variants - anchor.float()[:, None]).abs().mean((2, 3))


def list_mle(predicted: Tensor, target: Tensor) -> Tensor:
    """ListMLE: the likelihood of the targets' order under the predictions, mean over images."""
    order = target.argsort(dim=1, descending=True, stable=True)
    y = predicted.gather(1, order)
    sums = y.exp().flip(1).cumsum(1).flip(1)
    return ((sums + 1e-10).log() - y).sum(1).mean()


def optimizer_of(model: torch.nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
                             lr=learning_rate, betas=(0.9, 0.95), eps=1e-8, fused=True)


class TorchPeer:
    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self.drop()

    def version(self) -> str:
        return f"PyTorch {torch.__version__.split('+')[0]}"

    def drop(self) -> None:
        self.models: dict[str, torch.nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.precision: dict[str, str] = {}
        self.dropped = False

    def load(self, command: dict) -> dict:
        geometry, precision = command["geometry"], command["precision"]
        model = (Ranker if geometry["kind"] == "ranker" else MaskedAutoencoder)(geometry)
        model.load_state_dict({name: tensor.float() for name, tensor in load_file(command["model"]).items()})
        if precision == "int8":
            model = torch.ao.quantization.quantize_dynamic(model.eval(), {torch.nn.Linear}, dtype=torch.qint8)
        elif precision == "bf16" and command["purpose"] == "rank":
            model = model.to(torch.bfloat16)
        self.models[command["id"]] = model
        self.precision[command["id"]] = precision
        if command["purpose"] != "score" or command["probe"]["removal"] != "decoder":
            return {}
        return self.faster_removal(command)

    def faster_removal(self, command: dict) -> dict:
        """Masks or leaves out the removed token, whichever is faster here: the scores are the same."""
        seconds = {}
        probe = dict(command["probe"], id=command["id"])
        for self.dropped in (False, True):
            job = self.job(probe)
            job()
            start = time.perf_counter()
            job()
            seconds[self.dropped] = time.perf_counter() - start
        self.dropped = seconds[True] < seconds[False]
        return {"variant": "removed token left out" if self.dropped else "removed token masked"}

    def arithmetic(self, precision: str) -> contextlib.AbstractContextManager:
        if precision != "bf16":
            return contextlib.nullcontext()
        return torch.autocast("cpu", dtype=torch.bfloat16)

    def job(self, command: dict) -> Callable[[], dict]:
        if command["do"] == "select":
            return choose_torch(read_selection(command))
        return {"rank": self.rank, "score": self.score, "train_step": self.train_step,
                "pretrain_step": self.pretrain_step}[command["do"]](command)

    def images(self, command: dict) -> Tensor:
        values = torch.from_numpy(np.fromfile(command["input"], np.float32))
        size = round((values.numel() / (3 * command["n"])) ** 0.5)
        return values.view(command["n"], 3, size, size)

    def rank(self, command: dict) -> Callable[[], dict]:
        model, pixels = self.models[command["id"]], self.images(command)
        if self.precision[command["id"]] == "bf16":
            pixels = pixels.to(torch.bfloat16)

        @torch.inference_mode()
        def run() -> dict:
            return {"scores": model(pixels).float()}

        return run

    def score(self, command: dict) -> Callable[[], dict]:
        mae, pixels, keep = self.models[command["id"]], self.images(command), torch.tensor(command["keep"])
        precision, dropped = self.precision[command["id"]], self.dropped

        @torch.inference_mode()
        def run() -> dict:
            with self.arithmetic(precision):
                return {"scores": pseudo_scores(mae, pixels, keep, command.get("removal", "decoder"), dropped)}

        return run

    def optimizer(self, command: dict) -> torch.optim.Optimizer:
        if command["id"] not in self.optimizers:
            self.optimizers[command["id"]] = optimizer_of(self.models[command["id"]], command["learning_rate"])
        return self.optimizers[command["id"]]

    def train_step(self, command: dict) -> Callable[[], dict]:
        mae, ranker = self.models[command["teacher"]], self.models[command["id"]]
        pixels, keep, precision = self.images(command), torch.tensor(command["keep"]), self.precision[command["id"]]
        optimizer, dropped = self.optimizer(command), self.dropped

        def run() -> dict:
            losses = []
            for _ in range(command.get("steps", 1)):
                with self.arithmetic(precision):
                    with torch.no_grad():
                        target = pseudo_scores(mae, pixels, keep, "decoder", dropped)
                    predicted = ranker(pixels, keep).float().gather(1, keep)
                optimizer.zero_grad(set_to_none=True)
                loss = list_mle(predicted, target)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            return {"losses": losses, "scores": target}

        return run

    def pretrain_step(self, command: dict) -> Callable[[], dict]:
        model, pixels, keep = self.models[command["id"]], self.images(command), torch.tensor(command["keep"])
        optimizer, precision = self.optimizer(command), self.precision[command["id"]]

        def run() -> dict:
            losses = []
            for _ in range(command.get("steps", 1)):
                with self.arithmetic(precision):
                    loss = model.loss(pixels, keep)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            return {"losses": losses}

        return run
