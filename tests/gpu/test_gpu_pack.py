"""The script tests/gpu/pack without a compiler: contents of a parcel, errors, and how photos are drawn.

Photos are reduced by the real program, where LTRP_BIN names a build's bin folder.
"""

import argparse
import contextlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import unittest
import unittest.mock
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import gpu_pack

BIN = os.environ.get("LTRP_BIN")


def photo(path: Path, width: int, height: int, seed: int) -> None:
    """Coarse noise, as a PPM file."""
    draw = random.Random(seed)
    row = b"".join(bytes([draw.randrange(256)] * 3) * 20 for _ in range(-(-width // 20)))[: 3 * width]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P6 %d %d 255\n" % (width, height) + row * height)


def size_of_jpeg(path: Path) -> tuple[int, int]:
    data, at = path.read_bytes(), 2
    while data[at + 1] not in (0xC0, 0xC2):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")


class GpuPack(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="ltrp-gpu-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name, text in (
            ("bin/ltrp", "#!/bin/sh\nexit 0\n"),
            ("bin/ltrp_gpu_tests", "#!/bin/sh\nexit 0\n"),
            ("bin/ltrp_bench_cuda", "#!/bin/sh\nexit 2\n"),
            ("lib/libdnnl.so.9", ""),
            ("share/ltrp/model", ""),
        ):
            path = self.folder / "programs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        self.parcel = self.folder / "parcel"
        self.made = 0

    def make(self, _: argparse.Namespace) -> tuple[Path, Path]:
        self.made += 1
        return self.folder / "programs", Path(BIN or "no LTRP_BIN") / "ltrp_small_photos"

    def pack(self, *arguments: str) -> tuple[int, str]:
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            folder = str(self.folder / "build")
            status = gpu_pack.main([str(self.parcel), "--build", folder, *arguments], self.make)
        return status, output.getvalue()

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def test_what_is_in_a_parcel(self) -> None:
        cases = self.folder / "more"
        (cases / "one").mkdir(parents=True)
        (cases / "one/case.json").write_text("{}")
        status, output = self.pack("--golden", str(cases))
        self.assertEqual(status, 0, output)
        for name in (
            "run",
            "train",
            "tests/gpu/gpu_run.py",
            "tests/gpu/gpu_train.py",
            "tests/gpu/run",
            "tests/gpu/torch_cuda.py",
            "tests/bench/peers/torch_peer.py",
            "tests/data/golden/selection/case.json",
            "golden/more/one/case.json",
            "samples/photos/cat.jpg",
            "parcel.json",
        ):
            self.assertTrue((self.parcel / name).is_file(), name)
        with tarfile.open(self.parcel / "programs.tar.xz") as archive:
            names = archive.getnames()
            self.assertEqual(archive.getmember("bin/ltrp").mode & 0o111, 0o111)
        self.assertTrue(
            {"bin/ltrp", "bin/ltrp_gpu_tests", "bin/ltrp_bench_cuda", "lib/libdnnl.so.9", "share/ltrp/model"}
            <= set(names)
        )
        self.assertIn("MiB  programs.tar.xz", output)
        self.assertIn("MiB  in all, 55 at most", output)
        self.assertEqual(self.left(), ["build", "more", "parcel", "programs"])

    def test_a_parcel_that_is_there_is_replaced_and_nothing_else_is(self) -> None:
        self.assertEqual(self.pack()[0], 0)
        (self.parcel / "old").write_text("")
        self.assertEqual(self.pack()[0], 0)
        self.assertFalse((self.parcel / "old").exists())
        (self.parcel / "parcel.json").unlink()
        (self.parcel / "mine").write_text("")
        status, output = self.pack()
        self.assertEqual((status, self.made), (1, 2))
        self.assertIn("is there and no parcel", output)
        self.assertTrue((self.parcel / "mine").exists())

    def test_programs_are_packed_again_where_they_have_changed(self) -> None:
        def model() -> bytes:
            with tarfile.open(self.parcel / "programs.tar.xz") as archive:
                file = archive.extractfile("share/ltrp/model")
                return file.read() if file else b"none"

        for text in (b"one", b"one", b"two"):
            (self.folder / "programs/share/ltrp/model").write_bytes(text)
            self.assertEqual(self.pack()[0], 0)
            self.assertEqual(model(), text)
            self.assertEqual(len(list((self.folder / "build/packed").iterdir())), 1)

    def test_what_is_too_large_is_refused_and_leaves_nothing(self) -> None:
        with unittest.mock.patch.object(gpu_pack, "LIMIT_MIB", 2):  # the recorded cases exceed this
            status, output = self.pack()
        self.assertEqual(status, 1)
        self.assertRegex(output, r"the parcel has \d\.\d MiB, at most 2 can travel.* --for run and one --for train")
        self.assertEqual(self.left(), ["build", "programs"])

    def test_wrong_folders_are_refused_before_anything_is_built(self) -> None:
        for arguments, text in (
            (["--golden", str(self.folder)], "holds no recorded cases"),
            (["--photos", str(self.folder / "absent")], "is no folder of photos"),
            (["--eval", str(self.folder)], "has no images/ and foreground/"),
        ):
            status, output = self.pack(*arguments)
            self.assertEqual(status, 1)
            self.assertIn(text, output)
        self.assertEqual((self.made, self.left()), (0, ["programs"]))

    def test_a_parcel_for_training_wants_photos(self) -> None:
        with self.assertRaises(SystemExit) as left:
            self.pack("--for", "train")
        self.assertEqual((left.exception.code, self.made), (2, 0))

    def test_a_parcel_starts_without_a_gpu_and_says_so(self) -> None:
        self.assertEqual(self.pack()[0], 0)
        done = subprocess.run([self.parcel / "run"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (3, ""), done.stderr)
        self.assertIn("tests/gpu/run: no GPU: ", done.stderr)
        self.assertFalse([path for path in self.parcel.iterdir() if ".part" in path.name])

    def test_a_parcel_that_cannot_be_unpacked(self) -> None:
        self.assertEqual(self.pack()[0], 0)
        archive = self.parcel / "programs.tar.xz"
        archive.write_bytes(archive.read_bytes()[:-20])
        done = subprocess.run([self.parcel / "run"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("programs.tar.xz cannot be unpacked there", done.stderr)
        self.assertFalse([path for path in self.parcel.iterdir() if path.name.startswith("programs.part")])

    def test_without_python_it_says_so(self) -> None:
        self.assertEqual(self.pack()[0], 0)
        bare = self.folder / "path"
        bare.mkdir()
        for name in ("sh", "basename", "dirname"):
            (bare / name).symlink_to(subprocess.check_output(["sh", "-c", f"command -v {name}"], text=True).strip())
        done = subprocess.run([self.parcel / "run"], capture_output=True, text=True, env={"PATH": str(bare)})
        self.assertEqual(done.returncode, 2)
        self.assertIn("run: Python 3 is not on this machine", done.stderr)

    @unittest.skipUnless(BIN, "LTRP_BIN names no build")
    def test_a_parcel_for_one_command(self) -> None:
        def programs() -> set[str]:
            with tarfile.open(self.parcel / "programs.tar.xz") as archive:
                return set(archive.getnames())

        photo(self.folder / "a/1.ppm", 90, 60, 1)
        status, output = self.pack("--for", "train", "--photos", str(self.folder / "a"), "--side", "48")
        self.assertEqual(status, 0, output)
        self.assertEqual(programs(), {"bin/ltrp", "lib", "lib/libdnnl.so.9"})
        self.assertTrue((self.parcel / "train").is_file())
        self.assertTrue((self.parcel / "samples/recipes/train.cfg").is_file())
        self.assertTrue((self.parcel / "photos/0/000000.jpg").is_file())
        self.assertFalse((self.parcel / "run").exists() or (self.parcel / "tests/data").exists())
        self.assertEqual(self.pack("--for", "run")[0], 0)
        self.assertIn("share/ltrp/model", programs())
        self.assertFalse((self.parcel / "train").exists() or (self.parcel / "photos").exists())

    @unittest.skipUnless(BIN, "LTRP_BIN names no build")
    def test_photos_are_drawn_from_all_folders_alike(self) -> None:
        for folder, count in (("a", 60), ("b", 30), ("c", 3)):
            for i in range(count):
                photo(self.folder / folder / f"{i}.ppm", 200 + i, 300, i)
        (self.folder / "b/broken.ppm").write_bytes(b"P6 10")
        photo(self.folder / "c/small.ppm", 30, 20, 7)
        status, output = self.pack(
            "--photos", *(str(self.folder / name) for name in "abc"), "--side", "48", "--photo-mib", "0.02"
        )
        self.assertEqual(status, 0, output)
        photos = [sorted((self.parcel / "photos" / name).glob("*.jpg")) for name in "012"]
        counts = [len(some) for some in photos]
        self.assertEqual(counts[2], 4)  # all photos of the small folder
        self.assertIn(counts[0] - counts[1], (0, 1))
        self.assertTrue(4 < counts[0] < 30, counts)
        entries = json.loads((self.parcel / "parcel.json").read_text())["photos"]
        self.assertEqual([(entry["folder"], entry["written"]) for entry in entries], list(zip("abc", counts)))
        total = sum(path.stat().st_size for some in photos for path in some)
        self.assertTrue(0.8 * 0.02 * gpu_pack.MIB < total <= 0.02 * gpu_pack.MIB, total)
        sizes = {size_of_jpeg(path) for some in photos for path in some}
        self.assertIn((30, 20), sizes)  # not enlarged
        self.assertEqual({min(size) for size in sizes}, {48, 20})
        before = [path.read_bytes() for path in photos[0]]
        self.assertEqual(
            self.pack("--photos", *(str(self.folder / name) for name in "abc"), "--side", "48", "--photo-mib", "0.02")[
                0
            ],
            0,
        )
        self.assertEqual([path.read_bytes() for path in photos[0]], before)

    @unittest.skipUnless(BIN, "LTRP_BIN names no build")
    def test_all_photos_where_they_fit_and_none_where_nothing_does(self) -> None:
        for i in range(5):
            photo(self.folder / "a" / f"{i}.ppm", 90, 60, i)
        (self.folder / "a/broken.ppm").write_bytes(b"P6 10")
        status, output = self.pack("--photos", str(self.folder / "a"), "--side", "48")
        self.assertEqual(status, 0, output)
        self.assertIn("a: 5 of 6 photos, 1 unreadable", output)
        status, output = self.pack("--photos", str(self.folder / "a"), "--photo-mib", "0.0001")
        self.assertEqual(status, 1)
        self.assertIn("none of its photos was packed", output)
        self.assertEqual(len(list((self.parcel / "photos/0").iterdir())), 5)  # the previous parcel


if __name__ == "__main__":
    unittest.main()
