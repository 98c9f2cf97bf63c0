"""The networks in PyTorch, written for this benchmark as one would write them today: fused attention, no hooks.

Parameter names are those of the weight files, so that load_state_dict takes them as they are.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, keys: Tensor | None, silent: Tensor | None) -> Tensor:
        n, tokens, dim = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        mask = None if keys is None else keys[:, None, None, :]
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(n, tokens, dim)
        if silent is not None:
            x = x.masked_fill(silent[..., None], 0)
        return self.proj(x)


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, stack: dict, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(stack["dim"], eps)
        self.attn = Attention(stack["dim"], stack["heads"])
        self.norm2 = nn.LayerNorm(stack["dim"], eps)
        self.mlp = Mlp(stack["dim"], stack["hidden"])

    def forward(self, x: Tensor, keys: Tensor | None = None, silent: Tensor | None = None) -> Tensor:
        """keys [n, tokens]: false where a token is no key; silent: true where its own attention gives zero."""
        x = x + self.attn(self.norm1(x), keys, silent)
        return x + self.mlp(self.norm2(x))


def blocks(stack: dict, eps: float) -> nn.ModuleList:
    return nn.ModuleList(Block(stack, eps) for _ in range(stack["depth"]))


def take(tokens: Tensor, places: Tensor) -> Tensor:
    """tokens [n, L, d], places [n, k] -> [n, k, d]."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[-1]))


class VisionTransformer(nn.Module):
    """Patch embedding and encoder, which ranker and autoencoder share."""

    def __init__(self, geometry: dict) -> None:
        super().__init__()
        stack, eps, patch = geometry["encoder"], geometry["layer_norm_eps"], geometry["patch_size"]
        self.patches = (geometry["image_size"] // patch) ** 2
        self.patch = patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, stack["dim"]))
        self.register_buffer("pos_embed", torch.zeros(1, 1 + self.patches, stack["dim"]))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, stack["dim"], patch, patch)
        self.blocks = blocks(stack, eps)
        self.norm = nn.LayerNorm(stack["dim"], eps)

    def embed(self, pixels: Tensor, keep: Tensor | None) -> Tensor:
        x = self.patch_embed.proj(pixels).flatten(2).transpose(1, 2) + self.pos_embed[:, 1:]
        if keep is not None:
            x = take(x, keep)
        return torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1), x], 1)


class Ranker(VisionTransformer):
    def __init__(self, geometry: dict) -> None:
        super().__init__(geometry)
        self.per_token = geometry.get("head") == "token"
        self.head = nn.Linear(geometry["encoder"]["dim"], 1 if self.per_token else self.patches)

    def forward(self, pixels: Tensor, keep: Tensor | None = None) -> Tensor:
        x = self.embed(pixels, keep)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, 1:]))[..., 0] if self.per_token else self.head(self.norm(x[:, 0]))


class MaskedAutoencoder(VisionTransformer):
    def __init__(self, geometry: dict) -> None:
        super().__init__(geometry)
        stack, eps = geometry["decoder"], geometry["layer_norm_eps"]
        self.norm_pix_loss = geometry["norm_pix_loss"]
        self.mask_token = nn.Parameter(torch.zeros(1, 1, stack["dim"]))
        self.register_buffer("decoder_pos_embed", torch.zeros(1, 1 + self.patches, stack["dim"]))
        self.decoder_embed = nn.Linear(geometry["encoder"]["dim"], stack["dim"])
        self.decoder_blocks = blocks(stack, eps)
        self.decoder_norm = nn.LayerNorm(stack["dim"], eps)
        self.decoder_pred = nn.Linear(stack["dim"], 3 * self.patch ** 2)

    def encode(self, x: Tensor, keys: Tensor | None = None, silent: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            x = block(x, keys, silent)
        return self.norm(x)

    def decoder_input(self, latent: Tensor, keep: Tensor) -> Tensor:
        shown = self.decoder_embed(latent)
        grid = self.mask_token.to(shown.dtype).expand(len(shown), self.patches, -1)
        grid = grid.scatter(1, keep[..., None].expand(-1, -1, shown.shape[-1]), shown[:, 1:])
        return torch.cat([shown[:, :1], grid], 1) + self.decoder_pos_embed

    def decode(self, x: Tensor, keys: Tensor | None = None) -> Tensor:
        for block in self.decoder_blocks:
            x = block(x, keys)
        return x

    def predict(self, x: Tensor, places: Tensor) -> Tensor:
        """Reconstruction of some patches: x [n, 1 + L, d], places [n, k] -> [n, k, 3 p p]."""
        return self.decoder_pred(self.decoder_norm(take(x, 1 + places)))

    def loss(self, pixels: Tensor, keep: Tensor) -> Tensor:
        """Pretraining loss: mean squared error over the hidden patches, each normalised by itself."""
        hidden = complement(keep, self.patches)
        x = self.decode(self.decoder_input(self.encode(self.embed(pixels, keep)), keep))
        target = take(patchify(pixels, self.patch), hidden)
        if self.norm_pix_loss:
            variance, mean = torch.var_mean(target, -1, keepdim=True)
            target = (target - mean) / (variance + 1e-6).sqrt()
        return (self.predict(x, hidden).float() - target).square().mean()


def patchify(pixels: Tensor, patch: int) -> Tensor:
    """[n, 3, S, S] -> [n, L, p p 3], values in the order row, column, channel."""
    n, channels, size, _ = pixels.shape
    grid = size // patch
    x = pixels.view(n, channels, grid, patch, grid, patch).permute(0, 2, 4, 3, 5, 1)
    return x.reshape(n, grid * grid, patch * patch * channels)


def complement(keep: Tensor, patches: int) -> Tensor:
    hidden = torch.ones(len(keep), patches, dtype=torch.bool).scatter(1, keep, False)
    return hidden.nonzero()[:, 1].view(len(keep), -1)
