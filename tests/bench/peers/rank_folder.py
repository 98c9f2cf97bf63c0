"""Ranks a folder of photos with OpenCV, Pillow and ONNX Runtime, as `ltrp rank FOLDER --json OUT` does.

rank_folder.py FOLDER MODEL.onnx SIZE OUT.json --threads N --batch N --mean R G B --std R G B
OpenCV reads, Pillow resizes (its antialiased cubic is what the network was trained with), two threads read ahead.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from PIL import Image


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model")
    parser.add_argument("size", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--mean", type=float, nargs=3, required=True)
    parser.add_argument("--std", type=float, nargs=3, required=True)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = options.threads
    session_options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(options.model, session_options, providers=["CPUExecutionProvider"])
    scale = (1 / (255 * np.array(options.std))).astype(np.float32)
    shift = (np.array(options.mean) / options.std).astype(np.float32)

    def read(path: Path) -> tuple[tuple[int, int], np.ndarray]:
        image = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        small = Image.fromarray(image).resize((options.size, options.size), Image.Resampling.BICUBIC)
        values = np.asarray(small, np.float32) * scale - shift
        return (image.shape[1], image.shape[0]), values.transpose(2, 0, 1)

    paths = sorted(options.folder.rglob("*.jpg"))
    batches = [paths[i:i + options.batch] for i in range(0, len(paths), options.batch)]
    entries = []
    with ThreadPoolExecutor(options.threads) as pool:
        ahead = [[pool.submit(read, path) for path in batch] for batch in batches[:2]]
        for i, batch in enumerate(batches):
            sizes, images = zip(*(job.result() for job in ahead[i]))
            ahead[i] = []
            if i + 2 < len(batches):
                ahead.append([pool.submit(read, path) for path in batches[i + 2]])
            scores = session.run(["scores"], {"image": np.stack(images)})[0]
            for path, size, row in zip(batch, sizes, scores):
                order = np.argsort(-row, kind="stable")
                keep = np.sort(order[:len(row) // 4])
                entries.append({"image": str(path), "width": size[0], "height": size[1], "scores": row.tolist(),
                                "order": order.tolist(), "keep": keep.tolist()})
    options.out.write_text(json.dumps(entries))
    return 0


if __name__ == "__main__":
    sys.exit(main())
