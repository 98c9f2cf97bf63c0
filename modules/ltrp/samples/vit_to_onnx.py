#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Makes the network of the sample fewer_tokens from a vision transformer in timm's safetensors; needs only NumPy.

In comes any classifier of timm's class VisionTransformer that reads its result from the class token, saved by
safetensors.torch.save_file(model.state_dict(), "vit.safetensors"): vit_tiny_patch16_224, vit_small_patch16_224,
vit_base_patch16_224, deit_small_patch16_224 and their like; or one that ltrp finetune --pool class has trained. Out come OUT.onnx and, beside it, OUT.yml with the input's
size, the patch grid and the names of the classes.

The network's inputs are "image" [1,3,S,S] (R, G, B in [0, 1]) and "keep" [1,T,1+L]: one row with a single 1 per token
that is to go in, in column 0 for the class token, which comes first, and in column 1+i for patch i. With NumPy:
np.eye(1 + L, dtype=np.float32)[[0] + [1 + i for i in patches]][None]. Its output is "logits" [1,classes]. Only
operations that cv::dnn has run since OpenCV 4.6 are in it.
"""
import argparse
import json
import os
import struct
import sys

import numpy as np

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


class Unusable(Exception):
    pass


def read_safetensors(path):
    """All tensors as float32, and the metadata."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:8 + length])
        metadata, body, tensors = header.pop("__metadata__", {}), memoryview(data)[8 + length:], {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            if entry["dtype"] == "BF16":
                values = (np.frombuffer(body[begin:end], "<u2").astype(np.uint32) << 16).view(np.float32)
            else:
                values = np.frombuffer(body[begin:end], DTYPES[entry["dtype"]]).astype(np.float32)
            tensors[name] = values.reshape(entry["shape"])
    except (struct.error, ValueError, KeyError, TypeError) as e:
        raise Unusable(f"{path}: is no safetensors file of floating-point weights ({e!r})") from None
    return tensors, metadata


def random_weights(size, patch, dim, depth, classes, seed):
    """A network of random weights, for tests."""
    draw = np.random.default_rng(seed)
    shapes = {"cls_token": (1, 1, dim), "pos_embed": (1, 1 + (size // patch) ** 2, dim),
              "patch_embed.proj.weight": (dim, 3, patch, patch), "patch_embed.proj.bias": (dim,),
              "head.weight": (classes, dim), "head.bias": (classes,)}
    for i in range(depth):
        for part, out, width in (("attn.qkv", 3 * dim, dim), ("attn.proj", dim, dim), ("mlp.fc1", 2 * dim, dim),
                                 ("mlp.fc2", dim, 2 * dim)):
            shapes[f"blocks.{i}.{part}.weight"], shapes[f"blocks.{i}.{part}.bias"] = (out, width), (out,)
    tensors = {name: draw.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    for norm in [f"blocks.{i}.norm{n}" for i in range(depth) for n in (1, 2)] + ["norm"]:
        tensors[norm + ".weight"] = draw.uniform(0.5, 1.5, dim).astype(np.float32)
        tensors[norm + ".bias"] = draw.normal(0, 0.3, dim).astype(np.float32)
    return tensors


class Graph:
    """Writes an ONNX graph in protobuf's wire format."""

    def __init__(self):
        self.nodes, self.constants, self.inputs, self.outputs = [], [], [], []

    @staticmethod
    def number(field, value):
        value &= (1 << 64) - 1   # negative numbers are encoded in ten bytes
        out = bytearray()
        for v in (field << 3, value):
            while v > 127:
                out.append(v & 127 | 128)
                v >>= 7
            out.append(v)
        return bytes(out)

    @classmethod
    def text(cls, field, data):
        data = data.encode() if isinstance(data, str) else data
        head = cls.number(field, len(data))
        return bytes([head[0] | 2]) + head[1:] + data   # keys of fields below 16 have one byte

    def constant(self, name, values):
        values = np.asarray(values)
        values = values.astype("<i8" if values.dtype.kind == "i" else "<f4")
        self.constants.append(b"".join(self.number(1, d) for d in values.shape)
                              + self.number(2, 7 if values.dtype.kind == "i" else 1)
                              + self.text(8, name) + self.text(9, values.tobytes()))
        return name

    def node(self, op, name, inputs, **attributes):
        data = b"".join(self.text(1, i) for i in inputs) + self.text(2, name) + self.text(3, name) + self.text(4, op)
        for key, value in attributes.items():
            if isinstance(value, str):
                content, kind = self.text(4, value), 3
            elif isinstance(value, int):
                content, kind = self.number(3, value), 2
            else:
                content, kind = b"".join(self.number(8, v) for v in value), 7
            # The type of an attribute is field 20, whose key has two bytes.
            data += self.text(5, self.text(1, key) + content + b"\xa0\x01" + bytes([kind]))
        self.nodes.append(data)
        return name

    def value(self, where, name, shape):
        dims = b"".join(self.text(1, self.text(2, d) if isinstance(d, str) else self.number(1, d)) for d in shape)
        where.append(self.text(1, name) + self.text(2, self.text(1, self.number(1, 1) + self.text(2, dims))))

    def model(self):
        graph = b"".join(self.text(1, n) for n in self.nodes) + self.text(2, "vit")
        graph += b"".join(self.text(5, c) for c in self.constants)
        graph += b"".join(self.text(11, i) for i in self.inputs) + b"".join(self.text(12, o) for o in self.outputs)
        return self.number(1, 6) + self.text(2, "ltrp") + self.text(7, graph) + self.text(8, self.number(2, 11))


class Vit:
    """The transformer, token rows as [1,T,D]. Operations that 4.6 lacks are replaced: layer norms by products
    with constant vectors; their weights are folded into the following layer."""

    def __init__(self, tensors, heads, eps, mean, std):
        self.tensors, self.heads, self.unread, self.graph = tensors, heads, set(tensors), Graph()
        self.dim = self.take("cls_token").shape[-1]
        if heads < 1 or self.dim % heads:
            raise Unusable(f"{self.dim} channels cannot be split into {heads} heads")
        self.graph.constant("average", np.full((self.dim, 1), 1 / self.dim))
        self.graph.constant("repeat", np.ones((1, self.dim)))
        self.graph.constant("epsilon", [float(eps)])
        x = self.embed(np.float32(mean), np.float32(std))
        depth = 0
        while f"blocks.{depth}.norm1.weight" in tensors:
            x = self.block(x, f"blocks.{depth}.")
            depth += 1
        self.graph.constant("first", [0])
        self.graph.constant("second", [1])
        x = self.graph.node("Slice", "class", [x, "first", "second", "second"])
        self.classes = self.take("head.weight").shape[0]
        x = self.linear(self.norm(x, "norm"), "head", self.take("head.weight"), self.take("head.bias"), "norm")
        self.graph.constant("logits.shape", [1, self.classes])
        self.graph.node("Reshape", "logits", [x, "logits.shape"])
        self.graph.value(self.graph.outputs, "logits", [1, self.classes])
        if self.unread:
            raise Unusable(f"tensor {sorted(self.unread)[0]} has no place in the plain ViT that this script knows")

    def take(self, name):
        if name not in self.tensors:
            raise Unusable(f"tensor {name} is missing; a timm VisionTransformer with class token has it")
        self.unread.discard(name)
        return self.tensors[name]

    def linear(self, x, name, weight, bias, norm=None):
        """x * weight^T + bias; x may be a result of norm(), whose weight and bias are folded in here."""
        if norm:
            bias = bias + weight @ self.take(norm + ".bias")
            weight = weight * self.take(norm + ".weight")
        self.graph.constant(name + ".weight", np.ascontiguousarray(weight.T))
        self.graph.constant(name + ".bias", bias)
        x = self.graph.node("MatMul", name + ".product", [x, name + ".weight"])
        return self.graph.node("Add", name, [x, name + ".bias"])

    def norm(self, x, name):
        node = self.graph.node
        mean = node("MatMul", name + ".mean_wide", [node("MatMul", name + ".mean", [x, "average"]), "repeat"])
        centred = node("Sub", name + ".centred", [x, mean])
        variance = node("MatMul", name + ".variance", [node("Mul", name + ".squared", [centred, centred]), "average"])
        deviation = node("Sqrt", name + ".deviation", [node("Add", name + ".safe", [variance, "epsilon"])])
        return node("Div", name, [centred, node("MatMul", name + ".deviation_wide", [deviation, "repeat"])])

    def embed(self, mean, std):
        graph, weight, positions = self.graph, self.take("patch_embed.proj.weight"), self.take("pos_embed")[0]
        self.patch, places = weight.shape[2], positions.shape[0] - 1
        self.grid = round(places ** 0.5)
        if self.grid ** 2 != places or weight.shape[3] != self.patch:
            raise Unusable(f"{places} patches of {self.patch} x {weight.shape[3]} pixels make no square image")
        self.size = self.grid * self.patch
        scaled = weight / std[None, :, None, None]   # so that the input is plain R, G, B
        graph.constant("patch_embed.weight", scaled)
        graph.constant("patch_embed.bias",
                       self.take("patch_embed.proj.bias") - (scaled * mean[None, :, None, None]).sum((1, 2, 3)))
        graph.value(graph.inputs, "image", [1, 3, self.size, self.size])
        graph.value(graph.inputs, "keep", [1, "T", 1 + places])
        graph.constant("patches.shape", [1, self.dim, places])
        graph.constant("room", [0, 1, 0, 0, 0, 0])
        table = positions.copy()
        table[0] += self.take("cls_token").reshape(-1)
        graph.constant("positions", table[None])
        x = graph.node("Conv", "patch_embed", ["image", "patch_embed.weight", "patch_embed.bias"],
                       kernel_shape=[self.patch] * 2, strides=[self.patch] * 2)
        x = graph.node("Reshape", "patches.flat", [x, "patches.shape"])
        x = graph.node("Transpose", "patches", [x], perm=[0, 2, 1])
        x = graph.node("Add", "placed", [graph.node("Pad", "tokens", [x, "room"], mode="constant"), "positions"])
        return graph.node("MatMul", "kept", ["keep", x])

    def block(self, x, name):
        graph, width = self.graph, self.dim // self.heads
        gamma = {n: self.take(name + n) if name + n in self.tensors else 1 for n in ("ls1.gamma", "ls2.gamma")}

        y, parts = self.norm(x, name + "norm1"), []
        weight, bias = self.take(name + "attn.qkv.weight"), self.take(name + "attn.qkv.bias")
        graph.constant(name + "heads.shape", [1, -1, self.heads, width])
        for i, part in enumerate("qkv"):
            scale = width ** -0.5 if part == "q" else 1
            rows = slice(i * self.dim, (i + 1) * self.dim)
            part = name + "attn." + part
            z = self.linear(y, part, weight[rows] * scale, bias[rows] * scale, name + "norm1")
            z = graph.node("Reshape", part + ".split", [z, name + "heads.shape"])
            parts.append(graph.node("Transpose", part + ".heads", [z], perm=[0, 2, 3, 1] if i == 1 else [0, 2, 1, 3]))
        z = graph.node("MatMul", name + "attn.products", parts[:2])
        z = graph.node("Softmax", name + "attn.softmax", [z], axis=3)
        z = graph.node("MatMul", name + "attn.mixed", [z, parts[2]])
        z = graph.node("Transpose", name + "attn.joined", [z], perm=[0, 2, 1, 3])
        graph.constant(name + "rows.shape", [1, -1, self.dim])
        z = graph.node("Reshape", name + "attn.rows", [z, name + "rows.shape"])
        z = self.residual(z, name + "attn.proj", gamma["ls1.gamma"])
        x = graph.node("Add", name + "residual1", [x, z])

        h = self.linear(self.norm(x, name + "norm2"), name + "mlp.fc1", self.take(name + "mlp.fc1.weight"),
                        self.take(name + "mlp.fc1.bias"), name + "norm2")
        for constant, value in (("root", 2 ** 0.5), ("one", 1.0), ("half", 0.5)):
            graph.constant(name + constant, [value])
        g = graph.node("Erf", name + "gelu.erf", [graph.node("Div", name + "gelu.div", [h, name + "root"])])
        g = graph.node("Mul", name + "gelu.mul", [h, graph.node("Add", name + "gelu.add", [g, name + "one"])])
        g = graph.node("Mul", name + "gelu", [g, name + "half"])
        return graph.node("Add", name + "residual2", [x, self.residual(g, name + "mlp.fc2", gamma["ls2.gamma"])])

    def residual(self, x, name, gamma):
        weight, bias = self.take(name + ".weight"), self.take(name + ".bias")
        return self.linear(x, name, weight * (gamma[:, None] if np.ndim(gamma) else 1), bias * gamma)


def write(path, data):
    part = path + ".part"
    with open(part, "wb") as file:
        file.write(data)
    os.replace(part, path)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("weights", help="timm ViT (.safetensors), or the word random: a tiny net for tests")
    arguments.add_argument("out", help="network to write, NAME.onnx; NAME.yml is written to the same folder")
    arguments.add_argument("--heads", type=int, help="attention heads; from the file's metadata, else channels / 64")
    arguments.add_argument("--eps", type=float, default=1e-6, help="of the layer norms; 1e-6")
    for name, default in (("mean", "0.485 0.456 0.406"), ("std", "0.229 0.224 0.225")):
        arguments.add_argument("--" + name, type=float, nargs=3, metavar=("R", "G", "B"),
                               help=f"the model was trained with; from the file's metadata, else {default}")
    arguments.add_argument("--classes", help="text file with one class a line; from the file's metadata, else numbers")
    args = arguments.parse_args()
    if not args.out.endswith(".onnx"):
        arguments.error("OUT must end in .onnx")
    try:
        if args.weights == "random":
            tensors, metadata = random_weights(28, 7, 16, 2, 5, 0), {"heads": "2"}
        else:
            tensors, metadata = read_safetensors(args.weights)
            if json.loads(metadata.get("ltrp", "{}")).get("pool", "class") != "class":
                raise Unusable("its head reads the mean of the tokens, not the class token; 'ltrp convert' exports it")
        mean = args.mean or json.loads(metadata.get("mean", "[0.485, 0.456, 0.406]"))
        std = args.std or json.loads(metadata.get("std", "[0.229, 0.224, 0.225]"))
        channels = tensors["cls_token"].shape[-1] if "cls_token" in tensors else 64
        heads = args.heads or int(metadata.get("heads", channels // 64))
        vit = Vit(tensors, heads, args.eps, mean, std)
        if args.classes:
            with open(args.classes, encoding="utf-8") as file:
                classes = file.read().split("\n")
        else:
            classes = metadata["classes"].split("\n") if "classes" in metadata else map(str, range(vit.classes))
        classes = [c.strip() for c in classes if c.strip()]
        if len(classes) != vit.classes:
            raise Unusable(f"{len(classes)} names for {vit.classes} classes")
        write(args.out, vit.graph.model())
        write(args.out[:-5] + ".yml", ("%YAML:1.0\n---\n" + f"size: {vit.size}\ngrid: {vit.grid}\nclasses:\n" + "".join(
            f"   - {json.dumps(c)}\n" for c in classes)).encode())
    except (Unusable, OSError) as e:
        print(f"{args.weights}: {e}" if isinstance(e, Unusable) else e, file=sys.stderr)
        return 1
    print(f"{args.out}: {vit.size} x {vit.size} pixels, {vit.grid} x {vit.grid} patches, {vit.classes} classes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
