"""One case through one runtime: runtime.py NAME CASE.json prints a line of JSON.

NAME is opencv, onnxruntime or openvino. Batches of 1, all and 2 of the case's images go through one and the same
network, and each must be what these images give.
"""

import json
import sys
from typing import Callable

import numpy as np

Runner = Callable[[dict[str, np.ndarray]], np.ndarray]


def opencv(path: str, output: str) -> tuple[str, Runner]:
    import cv2

    net = cv2.dnn.readNetFromONNX(path)
    if net.empty():
        raise RuntimeError("the graph was not imported")

    def run(inputs: dict[str, np.ndarray]) -> np.ndarray:
        for name, array in inputs.items():
            # cv2.Mat: otherwise OpenCV 4.6 treats the last of three dimensions as channels.
            net.setInput(cv2.Mat(array), name)
        return net.forward(output)

    return cv2.__version__, run


def onnxruntime(path: str, output: str) -> tuple[str, Runner]:
    import onnxruntime as library

    library.set_default_logger_severity(3)
    session = library.InferenceSession(path, providers=["CPUExecutionProvider"])
    return library.__version__, lambda inputs: session.run([output], wide(inputs))[0]


def openvino(path: str, output: str) -> tuple[str, Runner]:
    import openvino as library

    # Without the hint it computes in bfloat16 on processors that support it.
    compiled = library.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return library.__version__.split("-")[0], lambda inputs: compiled(wide(inputs))[output]


def wide(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array.astype(np.int64) if array.dtype == np.int32 else array for name, array in inputs.items()}


def load(tensor: dict) -> np.ndarray:
    return np.fromfile(tensor["file"], tensor["type"]).reshape(tensor["shape"])


def main() -> None:
    with open(sys.argv[2]) as file:
        case = json.load(file)
    want = load(case["want"])
    inputs = {tensor["name"]: load(tensor) for tensor in case["inputs"]}
    version, run = {"opencv": opencv, "onnxruntime": onnxruntime, "openvino": openvino}[sys.argv[1]](
        case["model"], case["want"]["name"])
    worst = 0.0
    for batch in (1, len(want), 2):
        got = np.array(run({name: np.ascontiguousarray(array[:batch]) for name, array in inputs.items()}))
        if got.shape != want[:batch].shape:
            raise RuntimeError(f"batch {batch}: shape {got.shape}, expected {want[:batch].shape}")
        difference = np.abs(got - want[:batch]).max()
        worst = max(worst, float(difference) if np.isfinite(difference) else float("inf"))
    print(json.dumps({"version": version, "difference": worst / float(np.ptp(want))}))


if __name__ == "__main__":
    main()
