"""One peer library in a process of its own: `main.py NAME --threads N`.

Speaks the protocol of ltrp_bench: a line of JSON per command on stdin, a line of JSON per answer on stdout.
A library of its own process cannot disturb the thread pools of the others.
"""

import argparse
import importlib
import json
import os
import signal
import sys
import time
from typing import Any

PEERS = {
    "onnxruntime": ("onnx_runtimes", "OnnxRuntimePeer"),
    "openvino": ("onnx_runtimes", "OpenVinoPeer"),
    "opencv": ("onnx_runtimes", "OpenCvPeer"),
    "pytorch": ("torch_peer", "TorchPeer"),
    "numpy": ("selection", "NumpyPeer"),
}


def timed(peer: Any, command: dict) -> dict:
    """Runs a command `repeat` times; its input is in memory by then, and results stay arrays."""
    job = peer.job(command["call"])
    milliseconds = []
    for _ in range(command.get("repeat", 1)):
        start = time.perf_counter()
        job()
        milliseconds.append((time.perf_counter() - start) * 1e3)
    return {"ms": milliseconds}


def answer_to(peer: Any, command: dict) -> dict:
    what = command["do"]
    if what == "info":
        return {"version": peer.version()}
    if what == "load":
        return peer.load(command)
    if what == "drop":
        peer.drop()
        return {}
    if what == "time":
        return timed(peer, command)
    return peer.job(command)()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=sorted(PEERS))
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process by closing its stdin

    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = None
    for line in sys.stdin:
        try:
            if peer is None:
                module, name = PEERS[options.peer]
                peer = getattr(importlib.import_module(module), name)(options.threads)
            answer = answer_to(peer, json.loads(line))
        except Exception as error:  # whatever a library throws is an answer
            kind = "" if type(error) is RuntimeError else f"{type(error).__name__}: "
            answer = {"error": f"{kind}{error}"[:600]}
        print(json.dumps(answer, default=lambda array: array.tolist()), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
