#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Hugging Face's vision transformer on the patch tokens that the ranker keeps.

The network is transformers.ViTModel with random weights: its output means nothing, its time is that of a trained
network of the same size, which ViTModel.from_pretrained(...) gives. Prints the time of the network on all tokens and
on shares of them. Needs PyTorch and transformers.
"""
import argparse
import contextlib
import sys
import time

import cv2
import numpy as np
import torch
import transformers

from sample_tools import (INTERRUPTED, catch_interrupt, create_ranker, interrupted, ltrp, parse_shares, read_image, run,
                          select_params)


@contextlib.contextmanager
def kept_tokens(embeddings, indices, front=1):
    """While this is open, the network after the module `embeddings` runs on some of the patch tokens.

    embeddings: what gives tokens [N,front+patches,C], position embeddings added (ViTModel.embeddings); indices: int64
    [kept], patches to keep; front: class and register tokens in front of the patches, which always stay.
    """
    rows = torch.cat([torch.arange(front), front + torch.from_numpy(indices)])
    hook = embeddings.register_forward_hook(lambda _module, _inputs, tokens: tokens.index_select(1, rows))
    try:
        yield
    finally:
        hook.remove()


def token_indices(ranking, grid, params):
    """int64 [kept]; cv2.ltrp lacks select_tokens."""
    if hasattr(ltrp, "select_tokens"):
        return ltrp.select_tokens(ranking, grid, params)
    return np.asarray(ltrp.selectTokens(ranking, grid, params).indices, np.int64)


def make_model(size, patch, width, layers, heads):
    """ViTModel with random weights, the same in every run."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
                                    intermediate_size=4 * width, image_size=size, patch_size=patch)
    return transformers.ViTModel(config, add_pooling_layer=False).eval()


def pixels_of(image, size):
    """[1,3,size,size] in [-1, 1], as from ViTImageProcessor: the whole photo, as for the ranker."""
    square = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)[:, :, ::-1]
    return torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1), np.float32) / 127.5 - 1)[None]


def milliseconds(model, pixels, repeat):
    """Median time of a run, after one that allocates memory. Returns it and the number of tokens."""
    times = []
    with torch.inference_mode():
        for i in range(repeat + 1):
            start = time.perf_counter()
            tokens = model(pixel_values=pixels).last_hidden_state.shape[1]
            if i > 0:
                times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times)), tokens


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("input", help="photo")
    arguments.add_argument("--model", "-m", help="ranker's weights (.safetensors or .pth); shipped ones unless told")
    arguments.add_argument("--keep", "-k", default="0.5,0.25", help="shares of the tokens to try, each in (0, 1)")
    arguments.add_argument("--sample", "-s", action="store_true", help="draw tokens, those with high scores more often")
    for name, value, what in (("size", 224, "side of the network's input in pixels"),
                              ("patch", 16, "side of its patches"), ("width", 384, "channels"), ("layers", 12, "blocks"),
                              ("heads", 6, "attention heads"), ("repeat", 5, "runs to take the median time of")):
        arguments.add_argument("--" + name, type=int, default=value, help=f"{what}; {value}")
    args = arguments.parse_args()
    shares = parse_shares(arguments, args.keep)
    for name in "size", "patch", "width", "layers", "heads", "repeat":
        if not 1 <= getattr(args, name) <= 4096:
            arguments.error(f"--{name}: {getattr(args, name)} is outside 1 to 4096")
    if args.size % args.patch or args.width % args.heads:
        arguments.error(f"--size {args.size} and --width {args.width} must be multiples of --patch and --heads")

    image, ranker = read_image(args.input), create_ranker(args.model)
    catch_interrupt()
    ranker.rank(image)   # allocates memory
    start = time.perf_counter()
    ranking = ranker.rank(image)
    rank_time = 1000 * (time.perf_counter() - start)
    model, pixels, side = make_model(args.size, args.patch, args.width, args.layers, args.heads), \
        pixels_of(image, args.size), args.size // args.patch
    full_time, tokens = milliseconds(model, pixels, args.repeat)
    lines = [f"    all  {tokens:6}  {full_time:8.2f}  {1:4.2f}x"]
    for share in shares:
        if interrupted():
            return INTERRUPTED
        params = select_params(share, temperature=1.0 if args.sample else None)
        with kept_tokens(model.embeddings, token_indices(ranking, (side, side), params)):
            spent, tokens = milliseconds(model, pixels, args.repeat)
        name = f"{100 * share:.0f} %"
        lines.append(f"{name:>7}  {tokens:6}  {spent:8.2f}  {full_time / spent:4.2f}x")
    print(f"{side} x {side} patches, {args.layers} layers of {args.width} channels; ranking took {rank_time:.2f} ms")
    print("patches  tokens  ms/photo  speed")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
