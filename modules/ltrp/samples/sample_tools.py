# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Tools shared by the Python samples: import of the module, Ctrl-C, progress, atomic output files."""
import os
import signal
import sys
import time

import cv2

try:
    from cv2 import ltrp   # OpenCV built with the module
except ImportError:
    import ltrp            # the separate package, with any OpenCV

INTERRUPTED = 130
_flag = False


def _on_interrupt(number, _frame):
    global _flag
    _flag = True
    signal.signal(number, signal.SIG_DFL)   # a second Ctrl-C ends the program at once


def catch_interrupt():
    """Makes Ctrl-C only set a flag, so that the current step and its files are completed."""
    signal.signal(signal.SIGINT, _on_interrupt)


def interrupted():
    return _flag


class Progress:
    """"\\rWHAT 3 of 12" on stderr about twice a second, once the work has taken a second; total 0: unknown."""

    def __init__(self, what, total=0):
        self.what, self.total, self.start, self.shown = what, total, time.monotonic(), 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.shown:
            print(file=sys.stderr)

    def step(self, done):
        seconds = time.monotonic() - self.start
        if seconds >= self.shown + (0.5 if self.shown else 1):
            self.shown = seconds
            of = f" of {self.total}" if self.total else ""
            print(f"\r{self.what} {done}{of}", end="", file=sys.stderr, flush=True)


def part_name(path):
    """"name.avi" -> "name.part.avi": name of an incomplete file. Writers determine the format by the extension."""
    stem, ending = os.path.splitext(path)
    return stem + ".part" + ending


def write_bytes(path, data):
    try:
        with open(part_name(path), "wb") as file:
            file.write(data)
        os.replace(part_name(path), path)
    except OSError as e:
        raise RuntimeError(f"{path}: cannot be written ({e.strerror})") from None


def write_image(path, image):
    written = False
    try:
        written = cv2.imwrite(part_name(path), image)
    except cv2.error:   # no encoder for this extension
        pass
    if not written:
        raise RuntimeError(f"{path}: cannot be written as an image")
    os.replace(part_name(path), path)


def read_image(path):
    image = cv2.imread(path)
    if image is None:
        raise RuntimeError(f"{path}: cannot be read as an image")
    return image


def create_ranker(model):
    """The ranker of a file, or the shipped one."""
    return ltrp.Ranker.create(model) if model else ltrp.Ranker.create()


def add_common(arguments):
    arguments.add_argument("--model", "-m", help="ranker's weights (.safetensors or .pth); shipped ones unless told")
    arguments.add_argument("--keep", "-k", type=float, default=0.25, help="share of patches to keep, in (0, 1]; 0.25")


def parse_shares(arguments, text):
    """The list of --keep: shares above 0 and below 1."""
    try:
        shares = [float(word) for word in text.split(",")]
    except ValueError:
        shares = []
    if not shares or not all(0 < share < 1 for share in shares):
        arguments.error(f"--keep: '{text}' is no list of numbers above 0 and below 1")
    return shares


def select_params(keep, cluster=False, temperature=None, seed=0):
    """The best patches; varied ones with `cluster`; drawn ones with a `temperature`."""
    params = ltrp.SelectParams()
    params.keepRatio, params.seed = keep, seed
    params.method = ltrp.SELECT_CLUSTER if cluster else ltrp.SELECT_TOPK
    if temperature is not None:
        params.method, params.temperature = ltrp.SELECT_SAMPLE, temperature
    return params


def run(main):
    """Runs a sample; errors of files and of the module become one line."""
    try:
        return main()
    except (RuntimeError, cv2.error, getattr(ltrp, "error", cv2.error)) as e:
        print(getattr(e, "err", None) or e, file=sys.stderr)
        return 1
