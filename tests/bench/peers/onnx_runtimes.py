"""The runtimes that take a ranker as ONNX: ONNX Runtime, OpenVINO and OpenCV's own dnn.

Each is given every graph of the same weights that there is (the one that ltrp exports and one with the operators that
newer runtimes know whole) and keeps the one that it runs fastest.
"""

import tempfile
import time
from pathlib import Path
from typing import Callable

import numpy as np

Runner = Callable[[np.ndarray], np.ndarray]


class OnnxPeer:
    """What the three have in common; compile() makes a function of a graph."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.size = 0
        self.run: Runner | None = None

    def version(self) -> str:
        raise NotImplementedError

    def compile(self, path: str, precision: str, images: int) -> Runner:
        raise NotImplementedError

    def load(self, command: dict) -> dict:
        self.drop()
        self.size = command["size"]
        probe = np.random.default_rng(1).standard_normal((command["n"], 3, self.size, self.size)).astype(np.float32)
        best, chosen, failures = float("inf"), "", {}
        for name, path in command["graphs"].items():
            try:
                run = self.compile(path, command["precision"], command["n"])
                seconds = fastest_of(4, lambda: run(probe))
            except Exception as error:
                failures[name] = (str(error) or type(error).__name__).splitlines()[0][:300]
                continue
            if seconds < best:
                best, chosen, self.run = seconds, name, run
        if not chosen:
            raise RuntimeError("; ".join(sorted(set(failures.values()))))
        return {"variant": chosen, "failures": failures}

    def drop(self) -> None:
        self.run = None

    def job(self, command: dict) -> Callable[[], dict]:
        if command["do"] != "rank":
            raise ValueError(f"'{command['do']}' is nothing that this library does")
        if self.run is None:
            raise RuntimeError("no model is loaded")
        run = self.run
        images = np.fromfile(command["input"], np.float32).reshape(command["n"], 3, self.size, self.size)
        return lambda: {"scores": run(images)}


def fastest_of(times: int, call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


class OnnxRuntimePeer(OnnxPeer):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        import onnxruntime
        self.library = onnxruntime
        onnxruntime.set_default_logger_severity(3)

    def version(self) -> str:
        return f"ONNX Runtime {self.library.__version__}"

    def compile(self, path: str, precision: str, images: int) -> Runner:
        if precision == "bf16":
            raise RuntimeError("its CPU provider has no bf16")
        options = self.library.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_free_dimension_override_by_name("N", images)
        if precision == "fp32":
            session = self.session(path, options)
        else:
            with tempfile.TemporaryDirectory() as folder:
                session = self.session(quantised(path, folder), options)
        return lambda batch: session.run(["scores"], {"image": batch})[0]

    def session(self, path: str, options: object) -> object:
        return self.library.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def quantised(path: str, folder: str) -> str:
    """Dynamic int8 of the products with weights, per output channel; norms that are written as products stay."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    nodes = [node.name for node in onnx.load(path).graph.node
             if node.op_type == "MatMul" and node.name.endswith(".product")]
    out = str(Path(folder) / "int8.onnx")
    quantize_dynamic(path, out, per_channel=True, weight_type=QuantType.QInt8, nodes_to_quantize=nodes)
    return out


class OpenVinoPeer(OnnxPeer):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        import openvino
        self.library = openvino
        self.core = openvino.Core()

    def version(self) -> str:
        return f"OpenVINO {self.library.__version__.split('-')[0]}"

    def compile(self, path: str, precision: str, images: int) -> Runner:
        if precision == "int8":
            raise RuntimeError("its int8 wants a model quantised beforehand with calibration data")
        hint = {"fp32": "f32", "bf16": "bf16"}[precision]
        model = self.core.read_model(path)
        shape = model.inputs[0].partial_shape
        shape[0] = images
        model.reshape(shape)
        compiled = self.core.compile_model(model, "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": str(self.threads),
            "INFERENCE_PRECISION_HINT": hint})
        used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if used != hint:
            raise RuntimeError(f"asked for {hint}, it takes {used} on this processor")
        request = compiled.create_infer_request()
        return lambda batch: request.infer([batch], share_inputs=True)[0]


class OpenCvPeer(OnnxPeer):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        import cv2
        self.library = cv2
        cv2.setNumThreads(threads)

    def version(self) -> str:
        return f"OpenCV {self.library.__version__} dnn"

    def compile(self, path: str, precision: str, images: int) -> Runner:
        if precision != "fp32":
            raise RuntimeError(f"its dnn has no {precision} for such a network on CPUs")
        net = self.library.dnn.readNetFromONNX(path)
        if net.empty():
            raise RuntimeError("the graph was not imported")

        def run(batch: np.ndarray) -> np.ndarray:
            net.setInput(batch, "image")
            return net.forward("scores")

        return run
