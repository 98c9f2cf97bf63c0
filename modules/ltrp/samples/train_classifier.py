#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Trains the small classifier of the sample fewer_tokens.

DATA holds one folder of photos per class. Training starts from the encoder of an autoencoder of this module (--mae),
which gets a linear head, or from a classifier that this program wrote (--init). Each step keeps a share of the patches,
drawn between the two numbers of --keep, so that the result copes with any number of them. The patches are drawn at
random; with --rankings a third of each batch keeps the ranker's best, a third random ones and a third those nearest
the centre. Needs PyTorch, NumPy, Pillow and safetensors. Ctrl-C ends after the running step; the same command goes on
from the last epoch that was finished.
"""
import argparse
import json
import math
import os
import signal
import sys
import time

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

interrupted = False


def interrupt(*_):
    global interrupted
    interrupted = True


class Unusable(Exception):
    pass


class Block(nn.Module):
    def __init__(self, dim, heads, hidden, eps):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps), nn.LayerNorm(dim, eps)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(dim, 3 * dim), "proj": nn.Linear(dim, dim)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, hidden), "fc2": nn.Linear(hidden, dim)})

    def forward(self, x, skip):
        def some(y):
            """Stochastic depth: some samples skip this branch while training."""
            if not self.training or skip == 0:
                return y
            return y * (torch.rand(len(y), 1, 1) >= skip) / (1 - skip)

        n, t, d = x.shape
        q, k, v = self.attn["qkv"](self.norm1(x)).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        x = x + some(self.attn["proj"](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d)))
        return x + some(self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x)))))


class Classifier(nn.Module):
    """A ViT whose tensors have timm's names; `keep` selects patches per image."""

    def __init__(self, config, classes):
        super().__init__()
        c, p = config["encoder"], config["patch_size"]
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, c["dim"], p, p)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, c["dim"]))
        patches = (config["image_size"] // p) ** 2
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + patches, c["dim"]), requires_grad=False)
        self.blocks = nn.ModuleList(
            Block(c["dim"], c["heads"], c["hidden"], config["layer_norm_eps"]) for _ in range(c["depth"]))
        self.norm = nn.LayerNorm(c["dim"], config["layer_norm_eps"])
        self.head = nn.Linear(c["dim"], classes)

    def forward(self, images, keep=None):
        x = self.patch_embed["proj"](images).flatten(2).transpose(1, 2) + self.pos_embed[:, 1:]
        if keep is not None:
            x = x.gather(1, keep[:, :, None].expand(-1, -1, x.shape[2]))
        x = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1), x], 1)
        for i, block in enumerate(self.blocks):
            x = block(x, 0.1 * i / max(1, len(self.blocks) - 1))
        return self.head(self.norm(x[:, 0]))


def read_photos(folder, classes, size):
    """All photos, resized to size x size pixels as for the ranker: uint8 [N,size,size,3], labels, paths."""
    photos, labels, paths, shown = [], [], [], time.time()
    for label, name in enumerate(classes):
        for file in sorted(os.listdir(os.path.join(folder, name))):
            paths.append(os.path.join(folder, name, file))
            with Image.open(paths[-1]) as photo:
                photos.append(np.asarray(photo.convert("RGB").resize((size, size), Image.BICUBIC)))
            labels.append(label)
            if time.time() - shown > 1:
                shown = time.time()
                print(f"\rread {len(photos)} photos", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return torch.from_numpy(np.stack(photos)), torch.tensor(labels), paths


def read_rankings(path):
    """The file of `ltrp rank PHOTOS --json FILE`: {photo's path without links: float32 [rows,columns]}."""
    try:
        with open(path, encoding="utf-8") as file:
            return {os.path.realpath(entry["image"]):
                    np.asarray(entry["scores"], np.float32).reshape(entry["grid"]) for entry in json.load(file)}
    except (ValueError, KeyError, TypeError) as e:
        raise Unusable(f"{path}: is not what `ltrp rank --json` writes ({e!r})") from None


def maps_of(paths, rankings, file, grid):
    """Each photo's scores on a grid x grid of patches: [N,1,grid,grid]."""
    missing = [path for path in paths if os.path.realpath(path) not in rankings]
    if missing:
        raise Unusable(f"{file}: has no ranking of {len(missing)} photos, {missing[0]} among them; "
                       "rank DATA and --val in one run of `ltrp rank`")
    maps = (torch.from_numpy(rankings[os.path.realpath(path)])[None, None] for path in paths)
    return torch.cat([F.interpolate(scores, (grid, grid), mode="bilinear", antialias=False) for scores in maps])


def augment(photos, maps, size, draw):
    """Random crops of 45 to 100 % of the area, mirrored or not, a little lighter or darker, resized to size x size.

    maps [N,1,grid,grid], where given, are cropped and mirrored in the same way.
    """
    theta = torch.zeros(len(photos), 2, 3)
    for i in range(len(photos)):
        area, ratio = draw.uniform(0.45, 1), math.exp(draw.uniform(-0.25, 0.25))
        w, h = min(1, math.sqrt(area * ratio)), min(1, math.sqrt(area / ratio))
        theta[i, 0, 0], theta[i, 1, 1] = w * draw.choice([-1, 1]), h
        theta[i, 0, 2], theta[i, 1, 2] = draw.uniform(w - 1, 1 - w), draw.uniform(h - 1, 1 - h)

    def cut(values, side, padding):
        return F.grid_sample(values, F.affine_grid(theta, [len(values), values.shape[1], side, side],
                                                   align_corners=False),
                             mode="bilinear", padding_mode=padding, align_corners=False)

    x = cut(photos, size, "reflection")
    gain = torch.from_numpy(draw.uniform(0.75, 1.25, (len(x), 3, 1, 1)).astype(np.float32) *
                            draw.uniform(0.8, 1.2, (len(x), 1, 1, 1)).astype(np.float32))
    return (x * gain).clamp(0, 1), None if maps is None else cut(maps, maps.shape[2], "border")


def patch_order(selector, count, grid, maps, generator=None):
    """Patches of `count` photos, those to keep first: int64 [count,grid*grid]."""
    if selector == "ranker":
        return maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    if selector == "centre":
        offset = (2 * torch.arange(grid) - grid + 1) ** 2   # doubled, so that equal distances compare equal
        return (offset[:, None] + offset).flatten().argsort(stable=True).expand(count, -1)
    return torch.rand(count, grid * grid, generator=generator).argsort(1)


def accuracy(model, photos, labels, prepare, selector=None, maps=None, share=1.0):
    """Accuracy, and its mean over the classes, with that share of the patches by a selector, or with all."""
    model.eval()
    found, patches = [], model.pos_embed.shape[1] - 1
    generator, grid = torch.Generator().manual_seed(0), math.isqrt(patches)
    with torch.inference_mode():
        for i in range(0, len(photos), 128):
            x, keep = prepare(photos[i:i + 128].permute(0, 3, 1, 2).float() / 255), None
            if selector:
                here = None if maps is None else maps[i:i + 128]
                keep = patch_order(selector, len(x), grid, here, generator)[:, :int(patches * share)]
            found.append(model(x, keep).argmax(1))
    right = torch.cat(found) == labels
    return right.float().mean().item(), np.mean([right[labels == c].float().mean().item() for c in labels.unique()])


def read_start(args):
    """Geometry, weights, and the class names if the weights are a classifier's."""
    path = args.init or args.mae
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        weights = {name: file.get_tensor(name).float() for name in file.keys()}
    try:
        if args.mae:
            return json.loads(metadata["ltrp"]), weights, None
        patch, patches, dim = (weights["patch_embed.proj.weight"].shape[-1], weights["pos_embed"].shape[1] - 1,
                               weights["cls_token"].shape[-1])
        encoder = {"dim": dim, "heads": int(metadata["heads"]), "hidden": len(weights["blocks.0.mlp.fc1.bias"]),
                   "depth": sum(name.endswith("attn.qkv.weight") for name in weights)}
        return {"encoder": encoder, "patch_size": patch, "image_size": patch * math.isqrt(patches),
                "layer_norm_eps": 1e-6, "mean": json.loads(metadata["mean"]), "std": json.loads(metadata["std"])
                }, weights, metadata["classes"].split("\n")
    except KeyError as e:
        kind = "classifier of this program" if args.init else "autoencoder in the module's format"
        raise Unusable(f"{path}: is no {kind}, it has no {e}") from None


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", help="folder of training photos, one folder per class in it")
    arguments.add_argument("--val", required=True, help="the same with photos to test on")
    start = arguments.add_mutually_exclusive_group(required=True)
    start.add_argument("--mae", help="start from an autoencoder in the module's format")
    start.add_argument("--init", help="start from a classifier that this program wrote")
    arguments.add_argument("--rankings", help="scores of all photos of DATA and --val: FILE of ltrp rank --json FILE")
    arguments.add_argument("--keep", type=float, nargs=2, default=(0.15, 0.6), metavar=("LOW", "HIGH"),
                           help="share of the patches to keep, drawn anew at each step; 0.15 0.6")
    arguments.add_argument("--out", required=True, help="classifier to write (.safetensors, timm's tensor names)")
    arguments.add_argument("--epochs", type=float, default=12, help="12; 0 with --init: test only, nothing is written")
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--lr", type=float, default=1e-3)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--bf16", action="store_true", help="products in bfloat16")
    args = arguments.parse_args()
    if not 0 < args.keep[0] <= args.keep[1] <= 1:
        arguments.error(f"--keep: {args.keep[0]:g} {args.keep[1]:g}, expected two rising numbers in (0, 1]")

    config, weights, trained_classes = read_start(args)
    classes = sorted(d for d in os.listdir(args.data) if os.path.isdir(os.path.join(args.data, d)))
    if trained_classes not in (None, classes):
        raise Unusable(f"{args.init}: its classes are not the folders of {args.data}")
    size = config["image_size"]
    grid = size // config["patch_size"]
    mean, std = (torch.tensor(config[k]).view(1, 3, 1, 1) for k in ("mean", "std"))

    def prepare(x):
        return (F.interpolate(x, (size, size), mode="bicubic", antialias=True).clamp(0, 1) - mean) / std

    torch.manual_seed(args.seed)
    model = Classifier(config, len(classes))
    missing = model.load_state_dict({k: v for k, v in weights.items() if k in model.state_dict()}, strict=False)
    assert missing.missing_keys == ([] if args.init else ["head.weight", "head.bias"]), missing
    photos, labels, paths = read_photos(args.data, classes, size + size // 8)
    val_photos, val_labels, val_paths = read_photos(args.val, classes, size + size // 8)
    selectors, maps, val_maps = ["random"], None, None
    if args.rankings:
        rankings = read_rankings(args.rankings)
        selectors = ["ranker", "random", "centre"]
        maps, val_maps = (maps_of(p, rankings, args.rankings, grid) for p in (paths, val_paths))

    depth, groups = len(model.blocks), []
    for name, p in model.named_parameters():
        if p.requires_grad:   # layers near the input are already good, so their rate is lower
            layer = depth + 1 if name.startswith(("norm", "head")) else 0
            if name.startswith("blocks."):
                layer = int(name.split(".")[1]) + 1
            groups.append({"params": [p], "scale": 0.75 ** (depth + 1 - layer),
                           "weight_decay": 0.05 if p.ndim > 1 else 0})
    optimizer = torch.optim.AdamW(groups, lr=args.lr)
    state_file, epoch = args.out + ".state", 0
    if os.path.exists(state_file):
        state = torch.load(state_file)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        epoch = state["epoch"]
        print(f"going on after epoch {epoch}")

    signal.signal(signal.SIGINT, interrupt)
    steps = len(photos) // args.batch
    while epoch < args.epochs:
        draw, total, started = np.random.default_rng([args.seed, epoch]), 0.0, time.time()
        order = torch.from_numpy(draw.permutation(len(photos)))
        torch.manual_seed(args.seed * 1000 + epoch)
        model.train()
        now = min(steps, max(1, round((args.epochs - epoch) * steps)))   # the last epoch may be incomplete
        for step in range(now):
            done = (epoch + step / steps) / args.epochs
            for group in optimizer.param_groups:
                group["lr"] = args.lr * group["scale"] * min(done * args.epochs, 0.5 * (1 + math.cos(math.pi * done)))
            pick = order[step * args.batch:(step + 1) * args.batch]
            x, cut_maps = augment(photos[pick].permute(0, 3, 1, 2).float() / 255, maps if maps is None else maps[pick],
                                  size, draw)
            x = (x - mean) / std
            count = max(1, int(grid * grid * draw.uniform(*args.keep)))
            orders = torch.stack([patch_order(s, len(x), grid, cut_maps) for s in selectors])
            # All selectors equally often: the photos are already in random order.
            chosen = (torch.arange(len(x)) + step) % len(selectors)
            keep = orders[chosen, torch.arange(len(x)), :count]
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                loss = F.cross_entropy(model(x, keep).float(), labels[pick], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
            rate = (step + 1) * len(x) / (time.time() - started)
            print(f"\repoch {epoch + 1}/{args.epochs:g} step {step + 1}/{now} loss {total / (step + 1):.3f} "
                  f"{rate:.0f} images/s", end="", file=sys.stderr, flush=True)
            if interrupted:
                print(f"\nstopped; finished epochs are in {state_file}", file=sys.stderr)
                return 130
        epoch += 1
        top, per_class = accuracy(model, val_photos, val_labels, prepare)
        print(f"\repoch {epoch}: loss {total / now:.3f}, {time.time() - started:.0f} s, right of {args.val}: "
              f"{top:.3f} (mean of classes {per_class:.3f})", flush=True)
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch},
                   state_file + ".new")
        os.replace(state_file + ".new", state_file)

    for share in (0.75, 0.5, 0.25):
        for selector in selectors:
            print("{:.0%} of the patches, {}: {:.3f} (mean of classes {:.3f})".format(
                share, selector, *accuracy(model, val_photos, val_labels, prepare, selector, val_maps, share)))
    if args.epochs == 0:
        return 0
    metadata = {"classes": "\n".join(classes), "mean": json.dumps(config["mean"]), "std": json.dumps(config["std"]),
                "heads": str(config["encoder"]["heads"])}
    save_file({k: v.half().contiguous() for k, v in model.state_dict().items()}, args.out + ".new", metadata)
    os.replace(args.out + ".new", args.out)
    os.remove(state_file)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, Unusable) as e:
        sys.exit(str(e))
