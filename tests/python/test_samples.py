# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

"""The Python samples, run as by a user, on the shipped photos and with the shipped ranker.

LTRP_PYTHON=cv2 or LTRP_PYTHON=ltrp says whose API they must have taken. Where LTRP_SAMPLES names the folder of the C++
samples of the same build, both must say the same.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import cv2
import numpy as np

if os.environ.get("LTRP_PYTHON") == "cv2":
    from cv2 import ltrp
elif os.environ.get("LTRP_PYTHON") == "ltrp":
    import ltrp
else:
    sys.exit("LTRP_PYTHON must be cv2 or ltrp")

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SAMPLES = os.path.join(ROOT, "modules", "ltrp", "samples")
MODELS = os.path.join(ROOT, "modules", "ltrp", "models")
RANKER = os.path.join(MODELS, "ltrp-rank-tiny.safetensors")
TRANSFORMERS = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
CPP = os.environ.get("LTRP_SAMPLES", "")
SIZES = r" quality +(\d+): +(\d+) bytes, PSNR ([\d.]+) dB inside the kept patches, ([\d.]+) outside, ([\d.]+) in all"


def photo(name):
    return os.path.join(ROOT, "samples", "photos", name)


def numbers(text, pattern):
    match = re.search(pattern, text)
    if match is None:
        raise AssertionError("%r is not in: %s" % (pattern, text))
    return [float(group) for group in match.groups()]


def start(name, *arguments):
    # Nothing must be written next to the samples.
    environment = dict(os.environ, OMP_WAIT_POLICY="passive", PYTHONDONTWRITEBYTECODE="1")
    return subprocess.Popen([sys.executable, os.path.join(SAMPLES, name + ".py")] + list(arguments), text=True,
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(name, *arguments):
    process = start(name, *arguments)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


class Samples(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def file(self, name):
        return os.path.join(self.folder, name)

    def photos(self, folder, *names):
        os.makedirs(self.file(folder))
        for name in names:
            shutil.copy(photo(name), self.file(folder))
        return self.file(folder)

    def output(self, name, *arguments):
        status, out, err = run(name, *arguments)
        self.assertEqual(status, 0, err)
        return out

    def cpp(self, name, *arguments):
        """Output of the C++ sample of that name."""
        done = subprocess.run([os.path.join(CPP, "example_ltrp_" + name)] + list(arguments), text=True,
                              stdout=subprocess.PIPE, timeout=600, check=True)
        return done.stdout

    def refused(self, words, name, *arguments):
        status, out, err = run(name, *arguments)
        self.assertEqual((status, out), (1, ""), err)
        self.assertIn(words, err)
        self.assertNotIn("Traceback", err)

    def test_whose_api(self):
        code = "import sample_tools; print(sample_tools.ltrp.__name__)"
        done = subprocess.run([sys.executable, "-B", "-c", code], cwd=SAMPLES, text=True, stdout=subprocess.PIPE,
                              check=True)
        wanted = {"cv2": "cv2.ltrp", "ltrp": "ltrp"}[os.environ["LTRP_PYTHON"]]
        self.assertEqual(done.stdout.strip(), wanted)

    def test_help_and_mistakes(self):
        for name in "rank_patches", "live_overlay", "roi_jpeg", "fewer_tokens", "vit_to_onnx":
            self.assertIn("usage: " + name, self.output(name, "--help"))
            self.assertEqual(run(name)[0], 2)
        for name in "rank_patches", "live_overlay", "roi_jpeg":
            self.refused("absent.safetensors", name, photo("cat.jpg"), "--model", "absent.safetensors")
            self.refused("keep ratio", name, photo("cat.jpg"), "--keep", "1.5")
            self.refused("README.md", name, os.path.join(ROOT, "README.md"))
        self.refused("where.jpg", "roi_jpeg", photo("cat.jpg"), "--output", self.file("no/where.jpg"))
        self.refused("keep fewer", "roi_jpeg", photo("cat.jpg"), "--keep", "1")
        self.refused("absent.yml", "fewer_tokens", photo("cat.jpg"), "--classifier", self.file("absent.onnx"))
        self.assertEqual(os.listdir(self.folder), [])

    def test_rank_patches(self):
        overlay = self.file("overlay.png")
        out = self.output("rank_patches", photo("cat.jpg"), "--model", RANKER, "--keep", "0.5", "--output", overlay)
        self.assertIn("kept: 98 of 196 patches", out)
        ranks = re.findall(r"rank (\d+): patch (\d+) at \[(\d+) x (\d+) from \((\d+), (\d+)\)\], score (\S+)", out)
        self.assertEqual([int(r[0]) for r in ranks], list(range(1, 11)))
        self.assertEqual(len({r[1] for r in ranks}), 10)
        scores = [float(r[6]) for r in ranks]
        self.assertEqual(scores, sorted(scores, reverse=True))
        # Checked with the module itself: the half with the highest scores is drawn.
        original = cv2.imread(photo("cat.jpg"))
        ranking = ltrp.Ranker.create(RANKER).rank(original)
        best = np.argsort(-np.asarray(ranking.scores).ravel(), kind="stable")[:98]
        self.assertEqual([int(r[1]) for r in ranks], list(best[:10]))
        x, y, width, height = ranking.rect(int(best[0]))
        self.assertEqual([int(word) for word in ranks[0][2:6]], [width, height, x, y])
        np.testing.assert_array_equal(cv2.imread(overlay), ltrp.drawOverlay(original, ranking, sorted(map(int, best))))
        if CPP:
            twin = self.cpp("rank_patches", photo("cat.jpg"), "--model=" + RANKER, "--keep=0.5")
            self.assertEqual(out[out.index("kept:"):], twin[twin.index("kept:"):])

        varied = self.output("rank_patches", photo("cat.jpg"), "--cluster", "--output", self.file("varied.png"))
        self.assertIn("kept: 49 of 196 patches", varied)
        self.output("rank_patches", photo("cat.jpg"), "--output", self.file("best.png"))
        self.assertFalse(np.array_equal(cv2.imread(self.file("varied.png")), cv2.imread(self.file("best.png"))))

    def test_roi_jpeg(self):
        for name in "cat.jpg", "photographer.jpg":   # one of them is grey
            roi, plain = self.file("roi.jpg"), self.file("plain.jpg")
            out = self.output("roi_jpeg", photo(name), "--model", RANKER, "--output", roi, "--plain", plain)
            was, now = numbers(out, "plain +" + SIZES), numbers(out, "roi +" + SIZES)
            self.assertGreater(now[0], was[0])
            self.assertLessEqual(now[1], was[1])
            self.assertGreater(now[1], 0.97 * was[1])   # the byte budget is used
            self.assertGreater(now[2], was[2] + 0.5)    # in highly ranked regions
            self.assertLess(now[3], was[3])
            # The printed sizes are those of the files.
            self.assertEqual([os.path.getsize(plain), os.path.getsize(roi)], [was[1], now[1]])
            original, decoded = cv2.imread(photo(name)), cv2.imread(roi)
            self.assertAlmostEqual(cv2.PSNR(original, decoded), now[4], delta=0.02)
            self.assertEqual(sorted(os.listdir(self.folder)), ["plain.jpg", "roi.jpg"])   # no incomplete files are left
            if CPP:
                twin = self.cpp("roi_jpeg", photo(name), "--model=" + RANKER)
                self.assertEqual(numbers(twin, "plain +" + SIZES), was)
                other = numbers(twin, "roi +" + SIZES)
                self.assertEqual(other[0], now[0])
                np.testing.assert_allclose(other[2:], now[2:], atol=0.1)

    def test_fewer_tokens(self):
        made, kept = self.file("vit.onnx"), os.path.join(ROOT, "tests", "data", "vit-random")
        self.assertIn("4 x 4 patches, 5 classes", self.output("vit_to_onnx", "random", made))
        # As in the C++ sample's test; products of constants differ in their last bits between NumPy versions.
        with open(self.file("vit.yml")) as a, open(kept + ".yml") as b:
            self.assertEqual(a.read(), b.read())
        self.assertEqual(os.path.getsize(made), os.path.getsize(kept + ".onnx"))
        photos = self.photos("2", "cat.jpg", "coffee.jpg")
        out = self.output("fewer_tokens", photos, "--classifier", made, "--model", RANKER, "--keep", "0.5,0.125")
        self.assertIn("2 photos, 4 x 4 patches, 5 classes", out)
        row = r"\n *%s +(\d+) +([\d.]+) +([\d.]+)x +([\d.]+) % +([\d.]+) %".replace(" %", " %%")
        full, half, eighth = (numbers(out, row % name) for name in ("all", "50 %", "12 %"))
        self.assertEqual([full[0], half[0], eighth[0]], [17, 9, 3])   # the class token and the patches
        self.assertEqual(full[2:], [1, 100, 0])   # by its folder's name each photo is a 2, and classified as 1
        # With ONNX Runtime the two patches in the middle of the second row still make the cat a 1, but the coffee a 2.
        self.assertEqual(numbers(out, r"\n *12 % .*  ([\d.]+) % +([\d.]+) %\n"), [50, 50])
        # Results of ONNX Runtime for the same photos and network.
        answer = r" all: (\d) ([\d.]+) %, 50 %: (\d) ([\d.]+) %, 12 %: (\d) ([\d.]+) %\n"
        for name, share in (("cat", 71.36), ("coffee", 71.24)):
            said = numbers(out, name + ".jpg:" + answer)
            self.assertEqual(said[0], 1)
            self.assertAlmostEqual(said[1], share, delta=0.3)
            self.assertNotEqual(said[3], said[1])   # it did use other patches
        if CPP:
            twin = self.cpp("fewer_tokens", photos, "--classifier=" + made, "--model=" + RANKER, "--keep=0.5,0.125")
            self.assertEqual(numbers(twin, "cat.jpg:" + answer), numbers(out, "cat.jpg:" + answer))

        varied = self.output("fewer_tokens", photos, "--classifier", made, "--keep", "0.5", "--cluster")
        answer = r"cat.jpg: all: \d ([\d.]+) %, 50 %: \d ([\d.]+) %"
        self.assertEqual(numbers(varied, answer)[0], numbers(out, answer)[0])
        self.assertNotEqual(numbers(varied, answer)[1], numbers(out, answer)[1])
        self.assertEqual(run("fewer_tokens", photos, "--classifier", made, "--keep", "0.5,1.5")[0], 2)

        # Near 0 the draw keeps the best patches; the seeds of photos and draws are those of the C++ sample.
        cold = self.output("fewer_tokens", photos, "--classifier", made, "--keep", "0.5", "--sample", "-t", "1e-9")
        self.assertEqual(numbers(cold, answer), numbers(out, answer))
        drawn = self.output("fewer_tokens", photos, "--classifier", made, "--keep", "0.5", "--sample", "--draws", "3")
        self.assertNotEqual(numbers(drawn, answer), numbers(out, answer))
        interval = r" ([+-][\d.]+) \[([+-][\d.]+), ([+-][\d.]+)\]"
        apart = numbers(drawn, "50 %  sampled - best" + interval + ", - random" + interval + ", - uniform" + interval + ", - centre" + interval +
                        ", - all" + interval)
        rows = re.findall(r"([\d.]+) % +([\d.]+) %", drawn[drawn.index("50 % "):drawn.index("right on")])
        shares = [float(right) for _, right in rows]   # sampled, best, random, uniform, centre; with all patches none is right
        for i, share in enumerate(shares[1:] + [0.0]):
            self.assertAlmostEqual(apart[3 * i], shares[0] - share, delta=0.11)
            self.assertAlmostEqual(apart[3 * i] - apart[3 * i + 1], apart[3 * i + 2] - apart[3 * i], delta=0.21)
        if CPP:
            twin = self.cpp("fewer_tokens", photos, "--classifier=" + made, "--keep=0.5", "--sample", "--draws=3")
            self.assertEqual(numbers(twin, answer), numbers(drawn, answer))
            uniform = r"50 %(?: +[\d.]+x?){3}(?: +[\d.]+ % +[\d.]+ %){3} +([\d.]+) % +([\d.]+) %"
            self.assertEqual(numbers(twin, uniform), numbers(drawn, uniform))
        for wrong in (["--sample", "--cluster"], ["--temperature", "1"], ["--sample", "-t", "0"], ["--draws", "0"]):
            self.assertEqual(run("fewer_tokens", photos, "--classifier", made, *wrong)[0], 2, wrong)

    @unittest.skipUnless(TRANSFORMERS, "vit_tokens.py needs transformers and PyTorch, which are not installed")
    def test_vit_tokens(self):
        small = ["--layers", "2", "--width", "48", "--repeat", "1"]
        out = self.output("vit_tokens", photo("cat.jpg"), "--model", RANKER, "--keep", "0.5,0.25", *small)
        self.assertIn("14 x 14 patches, 2 layers of 48 channels", out)
        self.assertEqual([int(t) for t in re.findall(r"(?:all|%) +(\d+) +[\d.]+ +[\d.]+x", out)], [197, 99, 50])
        self.refused("absent.jpg", "vit_tokens", "absent.jpg", *small)
        for wrong in (["--keep", "1"], ["--size", "225"], ["--heads", "5"], ["--layers", "0"]):
            self.assertEqual(run("vit_tokens", photo("cat.jpg"), *wrong)[0], 2, wrong)

        code = """if True:
            import sys
            import cv2, numpy as np, torch
            import vit_tokens as sample

            image = cv2.imread(sys.argv[1])
            ranking = sample.create_ranker(None).rank(image)
            model, pixels = sample.make_model(112, 16, 48, 3, 3), sample.pixels_of(image, 112)
            for seed in range(3):
                indices = sample.token_indices(ranking, (7, 7), sample.select_params(0.4, temperature=1.0, seed=seed))
                assert indices.dtype == np.int64 and len(indices) == 19
                with torch.inference_mode():
                    full = model(pixels).last_hidden_state
                    with sample.kept_tokens(model.embeddings, indices):
                        kept = model(pixels).last_hidden_state
                    assert torch.equal(model(pixels).last_hidden_state, full)   # the hook has been removed
                    # All tokens, with attention to dropped tokens masked.
                    mask = torch.zeros(1, 50, dtype=torch.int64)
                    rows = [0] + [1 + int(i) for i in indices]
                    mask[0, rows] = 1
                    masked = model(pixels, attention_mask=mask).last_hidden_state[:, rows]
                assert kept.shape == (1, 20, 48)
                assert (kept - masked).abs().max() < 1e-5, (kept - masked).abs().max()
                assert (kept - full[:, rows]).abs().max() > 1e-3   # and the result differs
            print("same")"""
        done = subprocess.run([sys.executable, "-B", "-c", code, photo("cat.jpg")], cwd=SAMPLES, text=True,
                              stdout=subprocess.PIPE, check=True)
        self.assertEqual(done.stdout, "same\n")

    def test_live_overlay(self):
        photos, frames = self.photos("photos", "cat.jpg", "rocket.jpg"), self.file("frames")
        out = self.output("live_overlay", photos, "--model", RANKER, "--shot", "15", "--headless", "--output", frames)
        counts = numbers(out, r"(\d+) frames, (\d+) cuts, ([\d.]+) frames/s, ([\d.]+) ms")
        self.assertEqual(counts[:2], [30, 1])   # the cut is at the start of the second photo
        self.assertTrue(counts[2] > 0 and counts[3] > 0)
        change = numbers(out, r"per frame: ([\d.]+) % each frame by itself, ([\d.]+) % steady")
        self.assertGreater(change[0], 2)
        self.assertLess(change[1], change[0] / 2)
        self.assertGreater(numbers(out, r"the steady one holds ([\d.]+) %")[0], 70)
        self.assertEqual(sorted(os.listdir(frames)), ["%05d.png" % i for i in range(30)])
        last = cv2.imread(os.path.join(frames, "00029.png"))
        self.assertEqual(last.shape[1], 640)
        self.assertGreater(last.shape[0], 480)   # the line of figures is above the frame
        # Without memory and margin nothing is smoothed.
        raw = self.output("live_overlay", photos, "--model", RANKER, "--shot", "15", "--headless", "--memory", "0",
                          "--margin", "0")
        same = numbers(raw, r"per frame: ([\d.]+) % each frame by itself, ([\d.]+) % steady")
        self.assertEqual(same, [change[0]] * 2)

    def test_live_overlay_of_a_video(self):
        first, second = self.file("first.avi"), self.file("second.avi")
        if not hasattr(cv2, "VideoCapture"):   # OpenCV without videoio: an error message
            broken = self.file("broken.avi")
            open(broken, "w").close()
            self.refused("no videoio module", "live_overlay", broken, "--headless")
            return
        self.output("live_overlay", photo("cat.jpg"), "--frames", "7", "--headless", "--output", first)
        out = self.output("live_overlay", first, "--headless", "--output", second)
        self.assertIn("7 frames, 0 cuts", out)
        self.assertEqual(sorted(os.listdir(self.folder)), ["first.avi", "second.avi"])
        frames, capture = 0, cv2.VideoCapture(second)
        while capture.read()[0]:
            frames += 1
        self.assertEqual(frames, 7)
        with open(self.file("broken.avi"), "w") as file:
            file.write("no video")
        self.refused("broken.avi", "live_overlay", self.file("broken.avi"), "--headless")

    def test_interrupt_leaves_whole_frames(self):
        frames = self.file("frames")
        process = start("live_overlay", photo("cat.jpg"), "--shot", "100000", "--headless", "--output", frames)
        while process.poll() is None and not os.path.exists(os.path.join(frames, "00002.png")):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=600)
        self.assertEqual(process.returncode, 130, err)
        names = os.listdir(frames)
        self.assertGreaterEqual(len(names), 3)
        self.assertIn("\n%d frames, 0 cuts" % len(names), "\n" + out.split("frames\n", 1)[1])
        for name in names:
            self.assertEqual(cv2.imread(os.path.join(frames, name)).shape[1], 640, name)


if __name__ == "__main__":
    if not TRANSFORMERS:
        print("not run: vit_tokens (transformers and PyTorch are not installed)", file=sys.stderr)
    unittest.main()
