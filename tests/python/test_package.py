# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

"""Properties of the package ltrp only: no copies, use together with the cv2 wheel, models inside the wheel.

python test_package.py; needs opencv-python-headless. The API itself: modules/ltrp/misc/python/test/test_ltrp.py.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import tracemalloc
import unittest
from pathlib import Path

import numpy as np

import ltrp

PHOTO = os.path.join(os.path.dirname(__file__), "..", "..", "samples", "photos", "cat.jpg")


def peak_of(call):
    """Peak memory of NumPy during a call, above the amount before it."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def python(code):
    """Standard output of a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code, PHOTO], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise AssertionError("exit status %d: %s" % (done.returncode, done.stderr))
    return done.stdout


class Memory(unittest.TestCase):
    def test_no_copy_of_an_image(self):
        ranker = ltrp.Ranker.create()
        big = np.zeros((2000, 3000, 3), np.uint8)
        ranker.rank(big)
        for image in (big, big[100:1900, 50:2950], big[::2]):
            self.assertLess(peak_of(lambda image=image: ranker.rank(image)), 100000)
        # Check of the measurement itself: here a copy is needed.
        self.assertGreater(peak_of(lambda: ranker.rank(big[:, ::-1])), big.nbytes)

    def test_results_share_memory_with_what_they_came_from(self):
        ranking = ltrp.Ranker.create().rank(np.zeros((50, 50, 3), np.uint8))
        first, second = ranking.scores, ranking.scores
        self.assertTrue(np.shares_memory(first, second))
        first[3, 4] = 77
        self.assertEqual(ranking.order()[0], 3 * 14 + 4)
        self.assertFalse(first.flags.owndata)

    def test_a_new_picture_is_not_copied(self):
        picture = ltrp.drawKept(np.zeros((50, 50, 3), np.uint8), (2, 2), [0])
        self.assertFalse(picture.flags.owndata)
        self.assertTrue(picture.flags.writeable)


class Tokens(unittest.TestCase):
    def test_indices_for_torch(self):
        ranking = ltrp.Ranker.create().rank(np.zeros((60, 80, 3), np.uint8))
        params = ltrp.SelectParams()
        params.count = 30
        for order in (ltrp.TOKEN_ORDER_RASTER, ltrp.TOKEN_ORDER_WINDOWS):
            indices = ltrp.select_tokens(ranking, (32, 24), params, 2, order)
            self.assertEqual((indices.dtype, indices.shape), (np.int64, (28,)))
            self.assertTrue(indices.flags.c_contiguous and indices.flags.writeable)
            np.testing.assert_array_equal(indices, ltrp.selectTokens(ranking, (32, 24), params, 2, order).indices)


class Hostile(unittest.TestCase):
    def test_what_cv2_would_take_for_something_else(self):
        ranker, image = ltrp.Ranker.create(), np.zeros((9, 9, 3), np.uint8)
        for bad in (5, 5.0, (1, 2, 3), image.tolist(), image.astype(">u2"), image.astype(">f4"), image.astype(bool)):
            self.assertRaises(TypeError, ranker.rank, bad)
        for bad in (image, image[0], "abc", b"abc", {1: image}, iter([image]), None):
            self.assertRaises(TypeError, ranker.rankBatch, bad)
        self.assertEqual(len(ranker.rankBatch(np.zeros((2, 9, 9, 3), np.uint8))), 2)
        self.assertEqual(len(ranker.rankBatch((image, image[:5]))), 2)

    def test_array_subclasses_and_odd_strides(self):
        ranker, image = ltrp.Ranker.create(), np.arange(9 * 9 * 3, dtype=np.uint8).reshape(9, 9, 3)
        expected = ranker.rank(image).scores
        np.testing.assert_array_equal(ranker.rank(np.ma.array(image)).scores, expected)
        shifted = np.frombuffer(b"x" + (image.astype(np.float32) / 255).tobytes(), np.float32, offset=1).reshape(9, 9, 3)
        self.assertFalse(shifted.flags.aligned)
        np.testing.assert_allclose(ranker.rank(shifted).scores, expected, atol=1e-4)

    def test_classes_without_a_constructor(self):
        for cls in (ltrp.Ranker, ltrp.Scorer, ltrp.Trainer, ltrp.RankingTracker, ltrp.RankSaliency):
            self.assertRaises(TypeError, cls)
            self.assertRaises(TypeError, cls.__new__, cls)

        class Lazy(ltrp.SelectParams):
            def __init__(self):
                pass
        self.assertRaises(TypeError, Lazy)

    def test_file_names_are_bytes(self):
        for name in (b"/no/\xff\xfe.safetensors", "/no/\udcff.safetensors", "/no/\u00fc.safetensors"):
            self.assertRaises(ltrp.error, ltrp.Ranker.create, name)
        self.assertRaises(ValueError, ltrp.Ranker.create, "a\0b")

    def test_number_of_threads(self):
        before = ltrp.getNumThreads()
        ltrp.setNumThreads(1)
        self.assertEqual(ltrp.getNumThreads(), 1)
        self.assertRaises(ltrp.error, ltrp.setNumThreads, 10 ** 6)
        ltrp.setNumThreads(before)


class Neighbours(unittest.TestCase):
    CODE = """
import sys
{imports}
import numpy as np
photo = cv2.imread(sys.argv[1])
assert photo is not None
ranker = ltrp.Ranker.create()
ranking = ranker.rank(photo)
keep = ltrp.selectPatches(ranking, ltrp.SelectParams())
heat = cv2.applyColorMap(cv2.normalize(ranking.scores, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U), cv2.COLORMAP_JET)
picture = cv2.resize(ltrp.drawOverlay(photo, ranking, keep), (64, 32))
cv2.setNumThreads(1)
assert np.array_equal(ranker.rank(cv2.flip(cv2.flip(photo, 1), 1)).scores, ranking.scores)
for library in (cv2, ltrp):
    try:
        library.drawKept(None, (1, 1), []) if library is ltrp else cv2.resize(None, (1, 1))
        raise SystemExit("no error")
    except library.error as refusal:
        assert type(refusal) is library.error and not isinstance(refusal, (ltrp if library is cv2 else cv2).error)
print(ranking.scores.sum(), heat.shape, picture.shape, cv2.__version__)
"""

    def test_beside_the_cv2_wheel_in_any_order(self):
        orders = "import cv2, ltrp", "import ltrp, cv2"
        outputs = {python(self.CODE.format(imports=imports)) for imports in orders}
        self.assertEqual(len(outputs), 1, outputs)

    def test_threads_that_outlive_the_interpreter(self):
        # A thread in a call during interpreter shutdown must not crash it, with or without callbacks, and functions
        # registered with atexit still run.
        calls = ("scorer.scoreMap(image, params, lambda done, total: started.set())",
                 "started.set(), scorer.scoreMap(image, params)", "started.set(), ranker.rankBatch([image] * 64)",
                 "[(ranker.rank(image), started.set()) for i in range(10 ** 9)]",
                 "[(ranker.rank(image[:, ::-1]), started.set(), time.sleep(1e-4)) for i in range(10 ** 9)]")
        for call in calls:
            self.assertEqual(python("""
import atexit, sys, threading, time, numpy as np, ltrp
atexit.register(print, "goodbye")
sys.setswitchinterval(1e-6)   # the threads switch as often as possible
ranker, scorer, image = ltrp.Ranker.create(), ltrp.Scorer.create(), np.zeros((64, 64, 3), np.uint8)
params = ltrp.ScoreParams()
params.masks = 2000
started = threading.Event()
threading.Thread(target=lambda: (%s), daemon=True).start()
started.wait()
""" % call), "goodbye\n", call)

    def test_a_training_that_outlives_the_interpreter(self):
        # During updates, in a callback that never returns, and with a callback for messages.
        for progress, message in (("started.set()", "None"), ("(started.set(), time.sleep(1000))", "None"),
                                  ("started.set()", "lambda line: time.sleep(0.01)")):
            with tempfile.TemporaryDirectory() as folder:
                self.assertEqual(python("""
import atexit, os, sys, threading, time, ltrp
atexit.register(print, "goodbye")
folder = %r
params = ltrp.MaePretrainParams()
params.setPreset("tiny")
params.data, params.out = [os.path.dirname(sys.argv[1])], folder
params.depth = params.decoderDepth = 1
params.epochs, params.batch, params.workers, params.imageSize = 10000, 2, 4, 64
started = threading.Event()
trainer = ltrp.Trainer.createPretrain(params)
threading.Thread(target=lambda: trainer.run(lambda state: %s, %s), daemon=True).start()
started.wait()
""" % (folder, progress, message)), "goodbye\n")
                written = os.listdir(folder)
                self.assertEqual([name for name in written if not name.startswith("checkpoint-")], ["log.jsonl"])
                self.assertEqual(len(written), 2, written)
                with open(os.path.join(folder, "log.jsonl")) as log:
                    self.assertEqual(json.loads(log.readlines()[-1])["event"], "stop")

    @unittest.skipUnless(hasattr(os, "fork"), "this system has no fork")
    def test_a_forked_process_ends_while_the_parent_computes(self):
        python("""
import os, threading, numpy as np, ltrp
scorer, image = ltrp.Scorer.create(), np.zeros((64, 64, 3), np.uint8)
params = ltrp.ScoreParams()
params.masks = 2000
started = threading.Event()
threading.Thread(target=lambda: (started.set(), scorer.scoreMap(image, params)), daemon=True).start()
started.wait()
child = os.fork()
if child != 0:
    status = os.waitpid(child, 0)[1]
    assert status == 0, status
""")

    def test_objects_that_live_to_the_end(self):
        python("""
import numpy as np, ltrp, builtins
builtins.kept = [ltrp.Ranker.create(), ltrp.Scorer.create()]
builtins.kept += [builtins.kept[0].rank(np.zeros((64, 64, 3), np.uint8)).scores]
class Last:
    ranker = builtins.kept[0]
    def __del__(self):
        self.ranker.rank(np.zeros((64, 64, 3), np.uint8))
builtins.last = Last()
""")


class Headers(unittest.TestCase):
    """Everything that the public headers declare for bindings is in the package, under the same names."""

    ABSENT = {"registerLayers", "registerLayerModel"}   # Python has no cv::dnn that would need them

    def setUp(self):
        folder = Path(__file__).resolve().parents[2] / "modules/ltrp/include/opencv2/ltrp"
        text = "".join(path.read_text() for path in sorted(folder.glob("*.hpp")))
        self.text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)

    def bodies(self):
        """Name and body of every bound class."""
        found = re.findall(r"(?:class|struct) CV_EXPORTS_W(?:_SIMPLE)? (\w+)[^{;]*\{(.*?)\n\};", self.text, flags=re.S)
        self.assertGreater(len(found), 10)
        return found

    def check_parameters(self, function, name, parameters):
        depth0 = re.sub(r"<[^<>]*>|\([^()]*\)", "", parameters)
        names = [re.search(r"(\w+)\s*(?:=.*)?$", part.strip()).group(1) for part in depth0.split(",") if part.strip()]
        signature = re.search(r"%s\((.*?)\) ->" % name, function.__doc__).group(1)
        for parameter in names:
            self.assertRegex(signature, r"\b%s\b" % parameter, name)

    def test_members(self):
        members = 0
        for name, body in self.bodies():
            cls = getattr(ltrp, name)
            for declared in re.findall(r"CV_PROP_RW [\w:<>]+ ([\w, ]+);", body):
                for member in declared.split(", "):
                    self.assertTrue(getattr(cls, member).__doc__, "%s.%s" % (name, member))
                    members += 1
            for method, parameters in re.findall(r"CV_WRAP[^;{]*?\b(\w+)\((.*?)\)[ \w]*(?:= 0)?[;{]", body, flags=re.S):
                if method != name:
                    self.check_parameters(getattr(cls, method), method, parameters)
                    members += 1
        self.assertGreater(members, 110)

    def test_functions(self):
        functions = re.findall(r"CV_EXPORTS_W [\w:<>]+ (\w+)\((.*?)\);", self.text, flags=re.S)
        self.assertGreater(len(functions), 8)
        for name, parameters in functions:
            if name not in self.ABSENT:
                self.check_parameters(getattr(ltrp, name), name, parameters)

    def test_constants(self):
        constants = [pair for body in re.findall(r"enum \w+\s*\{(.*?)\}", self.text, flags=re.S)
                     for pair in re.findall(r"(\w+) = (\d+)", body)]
        self.assertGreater(len(constants), 20)
        for name, value in constants:
            self.assertEqual(getattr(ltrp, name), int(value), name)


class Package(unittest.TestCase):
    def test_models_are_inside(self):
        folder = os.path.dirname(os.path.realpath(ltrp.__file__))
        for kind in ("rank", "mae"):
            self.assertEqual(os.path.dirname(ltrp.shippedModel(kind)), os.path.join(folder, "models"))

    def test_names_say_where_they_are_from(self):
        self.assertEqual(ltrp.Ranker.__module__, "ltrp")
        self.assertEqual(ltrp.error.__module__, "ltrp")
        for name in ltrp.__all__:
            self.assertTrue(getattr(ltrp, name).__doc__, name)
        self.assertTrue(os.path.exists(os.path.join(os.path.dirname(ltrp.__file__), "py.typed")))


if __name__ == "__main__":
    unittest.main()
