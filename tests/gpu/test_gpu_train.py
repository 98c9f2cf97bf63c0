"""The script tests/gpu/train without a GPU: how it divides the time, what it does at the time limit, and its output.

The program here is a small script with known answers; with LTRP_BIN, a build's bin folder, the real one trains on the
CPU, too.
"""

import contextlib
import io
import json
import os
import struct
import sys
import tempfile
import unittest
import unittest.mock
import zlib
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import gpu_train

# An update takes {second} seconds by the log's clock but no real time; 4 updates per epoch.
LTRP = """#!{python}
import json, os, signal, sys, time
args = sys.argv[1:]
option = lambda name, other="": args[args.index(name) + 1] if name in args else other
with open("{folder}/calls", "a") as calls:
    calls.write(json.dumps(args) + "\\n")
if args[0] in ("pretrain", "train"):
    config = dict(line.split(" = ") for line in open(option("--config")).read().splitlines())
    epochs = float(option("--epochs", config["epochs"]))
    out = option("--out")
    os.makedirs(out)
    warm = option("--warmup-epochs", config["warmup-epochs"])
    values = {{"epochs": str(epochs), "warmup-epochs": warm, "batch": "8", "accumulate": "2"}}
    log = open(out + "/log.jsonl", "w")
    log.write(json.dumps({{"event": "start", "options": values, "steps_per_epoch": 4}}) + "\\n")
    for step in range(1, 13):
        pace = 100 if step < 4 else {second}
        log.write(json.dumps({{"event": "step", "step": step, "loss": 1, "time": 1000 + pace * step}}) + "\\n")
    log.close()
    if "--log-every" in args or {hangs} and not epochs < 0.1:
        if "--export-every" in args:
            for epoch in (3, 12):
                open(out + "/epoch-%04d.safetensors" % epoch, "w").write("epoch %d" % epoch)
        signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
        time.sleep(30)
    open(out + "/final.safetensors", "w").write("final")
if args[0] == "score":
    os.makedirs(option("--targets"))
    print("score maps of 2 images")
    sys.exit(1)   # a damaged photo
if args[0] == "convert":
    open(args[2], "w").write("x" * {size} + open(args[1]).read())
if args[0] == "eval":
    json.dump({{}}, open(option("--json"), "w"))
    print("share of foreground kept")
"""


class GpuTrain(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="ltrp-gpu-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name in ("bin", "photos", "recipe", "eval/images", "eval/foreground"):
            (self.folder / name).mkdir(parents=True)
        self.recipe("epochs = 20\nwarmup-epochs = 2\n", "epochs = 5\nwarmup-epochs = 1\n")

    def recipe(self, pretrain: str, train: str) -> None:
        (self.folder / "recipe/pretrain.cfg").write_text(pretrain)
        (self.folder / "recipe/score.cfg").write_text("masks = 2\nmask-ratio = 0.75\n")
        (self.folder / "recipe/train.cfg").write_text(train)
        (self.folder / "photos/one.jpg").write_text("")

    def program(self, second: float = 0.5, hangs: bool = False, size: int = 1) -> None:
        path = self.folder / "bin/ltrp"
        path.write_text(LTRP.format(python=sys.executable, folder=self.folder, second=second, hangs=hangs, size=size))
        path.chmod(0o755)

    def calls(self, kind: str) -> list[dict[str, str]]:
        lines = [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]
        return [dict(zip(line, line[1:])) for line in lines if line[0] == kind]

    def run_it(self, *arguments: str, gpu: tuple[str, str] = ("a GPU", "")) -> tuple[int, str]:
        output, at = io.StringIO(), self.folder
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = gpu_train.main(
                [
                    "--minutes",
                    "3",
                    "--out",
                    str(at / "out"),
                    "--build",
                    str(at),
                    "--recipe",
                    str(at / "recipe"),
                    "--photos",
                    str(at / "photos"),
                    "--eval",
                    str(at / "eval"),
                    "--rate-seconds",
                    "1",
                    "--workers",
                    "2",
                    *arguments,
                ],
                lambda: gpu,
            )
        return status, output.getvalue()

    def state(self) -> dict:
        return json.loads((self.folder / "out/train.json").read_text())

    def test_no_gpu(self) -> None:
        self.program()
        status, output = self.run_it(gpu=("", "the driver shows no device"))
        self.assertEqual(status, gpu_train.NO_GPU)
        self.assertIn("the driver shows no device; nothing was trained", output)
        self.assertFalse((self.folder / "out").exists())

    def test_both_networks_take_the_same_share_of_the_recipe(self) -> None:
        self.program(second=0.5)  # 16 images: 32 images/s; the recipe needs 640 s and 160 s, 3 minutes are available
        status, output = self.run_it()
        self.assertEqual(status, 0, output)
        state = self.state()
        self.assertAlmostEqual(state["rates"]["pretrain"]["images_per_second"], 32)
        pretrain, train = self.calls("pretrain")[-1], self.calls("train")[-1]
        factor = float(pretrain["--epochs"]) / 20
        self.assertAlmostEqual(float(train["--epochs"]) / 5, factor, places=4)
        self.assertAlmostEqual(float(pretrain["--warmup-epochs"]) / 2, factor, places=4)
        seconds = (20 + 5) * 64 / 32 * factor
        self.assertTrue(0.8 * (180 - 25 - 15) < seconds < 0.9 * (180 - 25), (factor, seconds))
        self.assertEqual(
            sorted(path.name for path in (self.folder / "out").iterdir()),
            [
                "coverage.json",
                "mae.safetensors",
                "pretrain-log.jsonl",
                "rank.safetensors",
                "train-log.jsonl",
                "train.json",
                "train.md",
            ],
        )
        page = (self.folder / "out/train.md").read_text()
        self.assertIn("share of foreground kept", page)
        self.assertIn("pretrain.cfg:\n\n```\nepochs = 20", page)
        self.assertEqual(pretrain["--out"] + "/final.safetensors", train["--init"])
        self.assertEqual(self.calls("score")[-1]["--targets"], train["--targets"])
        for call in self.calls("pretrain") + self.calls("score") + self.calls("train"):
            self.assertEqual(
                (call["--device"], call["--precision"], call["--config"].rpartition("/")[0]),
                ("cuda", "bf16", str(self.folder / "recipe")),
            )

    def test_a_training_that_does_not_end_in_time_leaves_its_last_copy(self) -> None:
        self.program(hangs=True)
        status, output = self.run_it("--minutes", "0.4", "--evaluation-seconds", "2")
        self.assertEqual(status, 1)
        self.assertIn("mae.safetensors: 9 bytes, its state after epoch 12 of ", output)
        self.assertEqual((self.folder / "out/mae.safetensors").read_text(), "xepoch 12")
        self.assertTrue((self.folder / "out/rank.safetensors").exists())

    def test_no_time_is_no_result(self) -> None:
        self.program()
        status, output = self.run_it("--minutes", "0.3")
        self.assertEqual(status, 1)
        self.assertIn("FAIL: no time was left for the trainings", output)
        self.assertFalse((self.folder / "out/mae.safetensors").exists())

    def test_a_rate_from_too_few_updates_is_none(self) -> None:
        log = self.folder / "log.jsonl"
        log.write_text(
            "\n".join(
                [json.dumps({"event": "start", "options": {}})]
                + [json.dumps({"event": "step", "step": step, "time": step}) for step in range(1, 5)]
            )
        )
        with self.assertRaisesRegex(gpu_train.Failed, "1 updates after the first 3"):
            gpu_train.rate_of(log)

    def test_a_weight_file_that_is_too_large_comes_in_parts(self) -> None:
        self.program(size=gpu_train.LIMIT)
        status, output = self.run_it()
        self.assertEqual(status, 0, output)
        parts = [(self.folder / f"out/mae.safetensors.{number}").read_bytes() for number in (1, 2)]
        self.assertEqual([len(part) for part in parts], [gpu_train.LIMIT, 5])
        self.assertEqual(b"".join(parts), b"x" * gpu_train.LIMIT + b"final")
        self.assertFalse((self.folder / "out/mae.safetensors").exists())
        self.assertIn("in parts: cat mae.safetensors.? > mae.safetensors", output)

    def test_what_lacks_is_named(self) -> None:
        self.program()
        (self.folder / "recipe/train.cfg").unlink()
        status, output = self.run_it()
        self.assertEqual(status, 2)
        self.assertIn("recipe/train.cfg is not there", output)

    @unittest.skipUnless(os.environ.get("LTRP_BIN"), "LTRP_BIN names no build")
    def test_the_real_program_on_the_cpu(self) -> None:
        small = "batch = 2\naccumulate = 1\nlr = 0.001\nembed-dim = 32\ndepth = 1\nheads = 2\n"
        self.recipe(
            small + "epochs = 40\nwarmup-epochs = 4\nsize = 32\npatch = 8\ndecoder-embed-dim = 32\ndecoder-depth = 1\n"
            "decoder-heads = 2\n",
            small + "epochs = 20\nwarmup-epochs = 2\nmask-ratio = 0.75\nhead = token\nloss = list-mle\n",
        )
        photos = Path(__file__).resolve().parents[2] / "samples/photos"
        # Time does not matter here: the recipe is unchanged.
        ways = "--device cpu --minutes 60 --rate-seconds 120".split()
        ways += ["--build", str(Path(os.environ["LTRP_BIN"]).parent), "--photos", str(photos)]
        with unittest.mock.patch.object(gpu_train, "factor_for", lambda rates, seconds: 1.0):
            status, output = self.run_it(*ways, "--eval", str(self.coverage()))
        state = self.state()
        self.assertEqual(sorted(state["networks"]), ["mae.safetensors", "rank.safetensors"], output)
        self.assertEqual(state["recipe"]["train"].splitlines()[0], "batch = 2")
        self.assertEqual((status, state["failed"]), (0, []))
        self.assertIn("foreground", state["coverage"])

    def coverage(self) -> Path:
        """An image, and a mask of its left half."""
        folder = self.folder / "masks"
        for part in ("images", "foreground"):
            (folder / part).mkdir(parents=True)
        (folder / "images/one.ppm").write_bytes(b"P6 64 64 255\n" + bytes(range(192)) * 64)

        def chunk(name: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

        header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
        rows = zlib.compress((b"\0" + b"\xff" * 32 + b"\0" * 32) * 64)
        png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
        (folder / "foreground/one.png").write_bytes(png)
        return folder


if __name__ == "__main__":
    unittest.main()
