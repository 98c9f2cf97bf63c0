"""A ranker as ONNX with whole LayerNormalization operators (opset 17).

What `ltrp convert` exports keeps to operators that OpenCV 4.6 runs; newer runtimes recognise this form and fuse more of
it. They are given both, so that the comparison is with the best of each.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from safetensors.numpy import load_file


class Graph:
    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.weights = {name: array.astype(np.float32) for name, array in weights.items()}
        self.nodes: list = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, array: np.ndarray) -> str:
        self.constants[name] = array
        return name

    def shape(self, *sizes: int) -> str:
        return self.constant("shape." + ".".join(map(str, sizes)), np.array(sizes, np.int64))

    def node(self, op: str, name: str, *inputs: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def linear(self, x: str, name: str, weight: np.ndarray, bias: np.ndarray) -> str:
        w = self.constant(name + ".weight", np.ascontiguousarray(weight.T))
        x = self.node("MatMul", name + ".product", x, w)
        return self.node("Add", name, x, self.constant(name + ".bias", bias))

    def layer(self, x: str, name: str) -> str:
        return self.linear(x, name, self.weights[name + ".weight"], self.weights[name + ".bias"])

    def norm(self, x: str, name: str, eps: float) -> str:
        return self.node("LayerNormalization", name, x, self.constant(name + ".weight", self.weights[name + ".weight"]),
                         self.constant(name + ".bias", self.weights[name + ".bias"]), axis=-1, epsilon=eps)

    def attention(self, x: str, name: str, dim: int, heads: int) -> str:
        parts = []
        for i, part in enumerate("qkv"):
            rows = slice(i * dim, (i + 1) * dim)
            scale = (dim // heads) ** -0.5 if part == "q" else 1.0
            y = self.linear(x, f"{name}.{part}", scale * self.weights[name + ".qkv.weight"][rows],
                            scale * self.weights[name + ".qkv.bias"][rows])
            y = self.node("Reshape", f"{name}.{part}.split", y, self.shape(0, -1, heads, dim // heads))
            parts.append(self.node("Transpose", f"{name}.{part}.heads", y,
                                   perm=[0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]))
        y = self.node("MatMul", name + ".scores", parts[0], parts[1])
        y = self.node("Softmax", name + ".softmax", y, axis=-1)
        y = self.node("MatMul", name + ".mixed", y, parts[2])
        y = self.node("Transpose", name + ".joined", y, perm=[0, 2, 1, 3])
        return self.layer(self.node("Reshape", name + ".out", y, self.shape(0, -1, dim)), name + ".proj")

    def gelu(self, x: str, name: str) -> str:
        y = self.node("Div", name + ".div", x, self.constant("gelu.root", np.float32(2 ** 0.5)))
        y = self.node("Erf", name + ".erf", y)
        y = self.node("Add", name + ".add", y, self.constant("gelu.one", np.float32(1)))
        y = self.node("Mul", name + ".mul", x, y)
        return self.node("Mul", name, y, self.constant("gelu.half", np.float32(0.5)))


def write_onnx(model: str, geometry: dict, out: str) -> None:
    graph = Graph(load_file(model))
    stack, eps, patch = geometry["encoder"], geometry["layer_norm_eps"], geometry["patch_size"]
    dim, size = stack["dim"], geometry["image_size"]
    patches = (size // patch) ** 2
    w = graph.weights
    x = graph.node("Conv", "patch_embed", "image", graph.constant("patch.weight", w["patch_embed.proj.weight"]),
                   graph.constant("patch.bias", w["patch_embed.proj.bias"]), kernel_shape=[patch, patch],
                   strides=[patch, patch])
    x = graph.node("Transpose", "tokens", graph.node("Reshape", "patches", x, graph.shape(0, dim, patches)),
                   perm=[0, 2, 1])
    x = graph.node("Add", "placed", x, graph.constant("positions", w["pos_embed"][:, 1:]))
    # The class token for any batch size: one row of zeros in front, and the token added there.
    x = graph.node("Pad", "room", x, graph.constant("room.pads", np.array([0, 1, 0, 0, 0, 0], np.int64)))
    first = np.zeros((1, patches + 1, dim), np.float32)
    first[:, :1] = w["cls_token"] + w["pos_embed"][:, :1]
    x = graph.node("Add", "embedded", x, graph.constant("class_token", first))
    for i in range(stack["depth"]):
        block = f"blocks.{i}."
        y = graph.attention(graph.norm(x, block + "norm1", eps), block + "attn", dim, stack["heads"])
        x = graph.node("Add", block + "residual1", x, y)
        y = graph.gelu(graph.layer(graph.norm(x, block + "norm2", eps), block + "mlp.fc1"), block + "mlp.gelu")
        x = graph.node("Add", block + "residual2", x, graph.layer(y, block + "mlp.fc2"))
    if geometry.get("head") == "token":
        x = graph.layer(graph.norm(x, "norm", eps), "head")
        places = [graph.constant("patches." + name, np.array([value], np.int64))
                  for name, value in (("start", 1), ("end", patches + 1), ("axis", 1))]
        graph.node("Reshape", "scores", graph.node("Slice", "patches.scores", x, *places), graph.shape(0, patches))
    else:
        x = graph.node("Gather", "cls", x, graph.constant("cls.place", np.int64(0)), axis=1)
        x = graph.layer(graph.norm(x, "norm", eps), "head")
        graph.node("Identity", "scores", x)
    body = helper.make_graph(
        graph.nodes, "ranker",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", patches])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in graph.constants.items()])
    save(helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), out)
