"""Effect of the CUDA backend's arithmetic on pseudo-scores, modelled in PyTorch on the CPU: no GPU is needed.

Rounds where the backend rounds (factors of products, and values between two products), with the exact GELU or the
approximation by tanh that cuBLASLt fuses, and compares with 32-bit floats: the shipped autoencoder, views of the sample
photos, 19 of 196 patches visible. Also what a 16-bit residual stream of the decoder would do; the backend's has 32 bits. Wants
torch, safetensors, numpy and pillow: build-bench/venv of tests/bench/run has them.

    build-bench/venv/bin/python tests/gpu/arithmetic.py [VIEWS]
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bench"))

import numpy as np
import photos
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor


class Network:
    """How products round their factors: not at all (None), to a 16-bit type, or to TensorFloat-32 ("tf32"). stream: the
    type of the decoder's residual stream where it is not 32 bits."""

    def __init__(self, weights: dict[str, Tensor], geometry: dict, rounding: torch.dtype | str | None, gelu: str,
                 stream: torch.dtype | None = None) -> None:
        self.weights, self.geometry, self.rounding, self.gelu = weights, geometry, rounding, gelu
        self.stream = stream

    def factor(self, x: Tensor) -> Tensor:
        if self.rounding == "tf32":
            return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)
        return x if self.rounding is None else x.to(self.rounding).float()

    def between(self, x: Tensor) -> Tensor:
        return x if self.rounding in (None, "tf32") else x.to(self.rounding).float()

    def linear(self, x: Tensor, name: str) -> Tensor:
        weight = self.weights[name + ".weight"].flatten(1)
        return self.factor(x) @ self.factor(weight).T + self.weights[name + ".bias"]

    def norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[name + ".weight"], self.weights[name + ".bias"],
                            self.geometry["layer_norm_eps"])

    def blocks(self, x: Tensor, prefix: str, stack: dict) -> Tensor:
        def kept(x: Tensor) -> Tensor:
            return x.to(self.stream).float() if self.stream and prefix == "decoder_blocks." else x

        x = kept(x)
        for i in range(stack["depth"]):
            name = f"{prefix}{i}."
            qkv = self.between(self.linear(self.norm(x, name + "norm1"), name + "attn.qkv"))
            q, k, v = qkv.view(*x.shape[:2], 3, stack["heads"], -1).permute(2, 0, 3, 1, 4)
            weights = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1)
            attended = self.between((self.between(weights) @ v).transpose(1, 2).reshape(x.shape))
            x = kept(x + self.linear(attended, name + "attn.proj"))
            hidden = F.gelu(self.linear(self.norm(x, name + "norm2"), name + "mlp.fc1"), approximate=self.gelu)
            x = kept(x + self.linear(self.between(hidden), name + "mlp.fc2"))
        return x

    def scores(self, pixels: Tensor, keep: Tensor) -> Tensor:
        """Leave-one-out scores of one image's visible patches, as the backend computes them."""
        g, w, patch = self.geometry, self.weights, self.geometry["patch_size"]
        grid = g["image_size"] // patch
        count = grid * grid
        patches = pixels.view(3, grid, patch, grid, patch).permute(1, 3, 0, 2, 4).reshape(count, -1)
        shown = self.linear(patches[keep], "patch_embed.proj") + w["pos_embed"][0, 1:][keep]
        x = self.blocks(torch.cat([w["cls_token"][0] + w["pos_embed"][0, :1], shown])[None], "blocks.", g["encoder"])
        embedded = self.linear(self.norm(x, "norm"), "decoder_embed")[0]
        tokens = w["mask_token"][0].repeat(1 + count, 1)
        tokens[torch.cat([torch.tensor([0]), 1 + keep])] = embedded
        tokens = tokens + w["decoder_pos_embed"][0]
        hidden = torch.ones(count, dtype=torch.bool).index_fill(0, keep, False).nonzero()[:, 0]
        first = len(hidden) + 1   # of the visible ones, after the hidden ones and the class token
        ordered = tokens[torch.cat([1 + hidden, torch.tensor([0]), 1 + keep])]
        without = torch.stack([torch.cat([ordered[:first + v], ordered[first + v + 1:]]) for v in range(len(keep))])
        anchor, variants = (self.norm(self.blocks(x, "decoder_blocks.", g["decoder"])[:, :len(hidden)], "decoder_norm")
                            for x in (ordered[None], without))
        return (self.factor(variants - anchor) @ self.factor(w["decoder_pred.weight"]).T).abs().mean((1, 2))


def spearman(a: Tensor, b: Tensor) -> float:
    return float(np.corrcoef(a.argsort().argsort().numpy(), b.argsort().argsort().numpy())[0, 1])


def main() -> int:
    views = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    with safe_open(ROOT / "modules/ltrp/models/ltrp-mae-small.safetensors", "pt") as file:
        geometry = json.loads(file.metadata()["ltrp"])
        weights = {name: file.get_tensor(name).float() for name in file.keys()}
    pixels = torch.from_numpy(photos.batch(photos.views(views), geometry))
    keep = torch.tensor(photos.masks(views, (geometry["image_size"] // geometry["patch_size"]) ** 2, 0.9))
    ways = {f"{name}, {gelu} GELU": Network(weights, geometry, rounding, {"exact": "none", "tanh": "tanh"}[gelu])
            for name, rounding in (("fp32", None), ("tf32", "tf32"), ("fp16", torch.float16), ("bf16", torch.bfloat16))
            for gelu in ("exact", "tanh")}
    ways |= {f"{name}, 16-bit stream": Network(weights, geometry, rounding, "tanh", rounding)
             for name, rounding in (("fp16", torch.float16), ("bf16", torch.bfloat16))}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with torch.inference_mode():
        for image, mask in zip(pixels, keep):
            exact = ways["fp32, exact GELU"].scores(image, mask)
            for name, network in ways.items():
                scores = network.scores(image, mask)
                found[name].append((spearman(exact, scores), float((scores - exact).norm() / exact.norm())))
    for name, values in found.items():
        print(f"{name:19}  Spearman {np.mean([v[0] for v in values]):.5f}, least {min(v[0] for v in values):.5f}; "
              f"relative error {np.mean([v[1] for v in values]):.2e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
