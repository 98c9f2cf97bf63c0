# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

"""How tests/package/wheel puts wheels together and judges them, without compiling anything."""

import contextlib
import io
import json
import struct
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import wheel_pack

INFO = "ltrp-0.1.0.dist-info"
PURE = {
    "ltrp/__init__.py": b"",
    "ltrp/__init__.pyi": b"",
    "ltrp/py.typed": b"",
    INFO + "/METADATA": b"Metadata-Version: 2.1\nName: ltrp\nVersion: 0.1.0\nRequires-Dist: numpy>=1.21\n\nRequires-Dist: text\n",
    INFO + "/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n\n",
    INFO + "/licenses/LICENSE": b"Apache",
}


def model(tensors):
    """A safetensors file of (name, dtype, shape, bytes)."""
    header, data = {"__metadata__": {"a": "b"}}, b""
    for name, dtype, shape, values in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


SMALL = model([("w", "F16", [2, 1], b"abcd")])


def sound(_library):
    return {"needed": ["libm.so.6", "libc.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"], "path": [], "lacking": [],
            "exported": ["PyInit__ltrp"]}


class Wheels(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def file(self, name, data=b"x"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def assembled(self, name="_ltrp.cpython-311-x86_64-linux-gnu.so", pure=PURE):
        models = [self.file("models/" + name, SMALL) for name in wheel_pack.MODELS]
        licences = [self.file("licences/%s.txt" % part) for part in wheel_pack.INSIDE]
        return wheel_pack.assemble(pure, self.file(name), models, licences, self.folder)

    def wheel(self, change=None, tag="cp311-cp311-manylinux_2_31_x86_64", pure=PURE):
        """A wheel in order, as auditwheel leaves it, with some files changed (None: left out)."""
        files = wheel_pack.read_wheel(self.assembled(pure=pure))
        for name, data in (change or {}).items():
            if data is None:
                del files[name]
            else:
                files[name] = data
        path = self.folder / ("ltrp-0.1.0-%s.whl" % tag)
        wheel_pack.write_wheel(path, files)
        return path

    def assertComplains(self, path, text, look=sound):
        found = wheel_pack.complaints(path, look)
        self.assertEqual(len(found), 1, found)
        self.assertIn(text, found[0])

    def test_a_wheel_is_named_for_its_python_and_says_so(self):
        path = self.assembled("_ltrp.cpython-39-x86_64-linux-gnu.so")
        self.assertEqual(path.name, "ltrp-0.1.0-cp39-cp39-linux_x86_64.whl")
        files = wheel_pack.read_wheel(path)
        self.assertEqual(files[INFO + "/WHEEL"].decode(),
                         "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp39-cp39-linux_x86_64\n")
        self.assertIn("ltrp/_ltrp.cpython-39-x86_64-linux-gnu.so", files)
        with self.assertRaisesRegex(ValueError, "expected a name like"):
            self.assembled("_ltrp.abi3.so")

    def test_matrices_are_rounded(self):
        values = [1.0, -1.0, 0.0, 1 + 1 / 1024, 1 + 17 / 1024, -(1 + 15 / 1024), 1.999, 6e-8, -60000.0]
        halves, floats = struct.pack("<9e", *values), struct.pack("<2f", 0.1, 0.2)
        before = model([("m", "F16", [3, 3], halves), ("bias", "F16", [9], halves), ("f", "F32", [1, 2], floats)])
        after = wheel_pack.rounded(before)
        self.assertEqual(after[: -len(halves + halves + floats)], before[: -len(halves + halves + floats)])
        self.assertEqual(after[-len(halves + floats) :], halves + floats)
        found = struct.unpack("<9e", after[-len(halves + halves + floats) :][:18])
        self.assertEqual(found, (1.0, -1.0, 0.0, 1.0, 1 + 1 / 32, -1.0, 2.0, 0.0, -60416.0))
        for a, b in zip(values, found):
            self.assertLessEqual(abs(a - b), max(abs(a) / 64, 1e-6))
        self.assertEqual(wheel_pack.rounded(after), after)

    def test_the_same_files_make_the_same_bytes(self):
        first = self.assembled().read_bytes()
        self.assertEqual(first, self.assembled().read_bytes())

    def test_nothing_is_said_of_a_wheel_in_order(self):
        self.assertEqual(wheel_pack.complaints(self.wheel(), sound), [])

    def test_a_library_inside_may_be_needed(self):
        def look(_library):
            return dict(sound(_library), needed=["libgomp-1a2b.so.1"], path=["$ORIGIN/../ltrp.libs"])
        path = self.wheel({"ltrp.libs/libgomp-1a2b.so.1": b"x"})
        self.assertEqual(wheel_pack.complaints(path, look), [])
        self.assertComplains(self.wheel(), "needs libgomp-1a2b.so.1, which is not inside", look)

    def test_what_the_system_would_have_to_have_is_refused(self):
        for library in ("libopencv_core.so.406", "libdnnl.so.3", "libgomp.so.1", "libstdc++.so.6.1", "libz.so.1", "libcrypt.so.1"):
            self.assertComplains(self.wheel(), "needs %s," % library,
                                 lambda _, library=library: dict(sound(_), needed=[library]))
        self.assertComplains(self.wheel(), "looks for libraries in /usr/lib", lambda _: dict(sound(_), path=["/usr/lib"]))

    def test_symbols_that_another_opencv_would_meet_are_refused(self):
        self.assertComplains(self.wheel(), "exports 1 symbols beside PyInit__ltrp: _ZN2cv3MatC1Ev",
                             lambda _: dict(sound(_), exported=["PyInit__ltrp", "_ZN2cv3MatC1Ev"]))

    def test_what_was_not_compiled_but_is_wanted_is_found(self):
        self.assertComplains(self.wheel(), "lacks 1 symbols: _ZN2cv5CannyEv", lambda _: dict(sound(_), lacking=["_ZN2cv5CannyEv"]))

    def test_platforms_and_pythons(self):
        self.assertComplains(self.wheel(tag="cp311-cp311-linux_x86_64"), "expected manylinux")
        self.assertEqual(wheel_pack.complaints(self.wheel(tag="cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64"), sound), [])
        self.assertComplains(self.wheel(tag="cp312-cp312-manylinux_2_31_x86_64"), "expected one extension, ltrp/_ltrp.cpython-312-")
        self.assertComplains(self.wheel(tag="py3-none-any"), "its name is not")

    def test_missing_files(self):
        self.assertComplains(self.wheel({"ltrp/models/" + wheel_pack.MODELS[0]: None}), wheel_pack.MODELS[0] + " is missing")
        self.assertComplains(self.wheel({"ltrp/py.typed": None}), "ltrp/py.typed is missing")
        self.assertComplains(self.wheel({INFO + "/licenses/inside/libpng.txt": None}), "the licence of libpng")
        self.assertComplains(self.wheel({"ltrp/_ltrp.cpython-311-x86_64-linux-gnu.so": None}), "found none")

    def test_requirements(self):
        other = PURE[INFO + "/METADATA"].replace(b"\n\n", b"\nRequires-Dist: opencv-python>=4\n\n", 1)
        self.assertComplains(self.wheel(pure=dict(PURE, **{INFO + "/METADATA": other})), "it requires opencv-python")

    def test_size(self):
        path = self.wheel()
        largest, wheel_pack.LARGEST = wheel_pack.LARGEST, 1000
        try:
            self.assertComplains(path, "MiB, at most 0 are allowed")
        finally:
            wheel_pack.LARGEST = largest

    def test_record(self):
        path = self.wheel()
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("ltrp/more.py", b"1")
        self.assertComplains(path, "RECORD does not agree with ltrp/more.py")

    def test_a_complaint_fails_the_program(self):
        path = self.wheel(tag="cp311-cp311-linux_x86_64")
        arguments, sys.argv = sys.argv, ["wheel_pack.py", str(path)]
        said = io.StringIO()
        look, wheel_pack.complaints.__defaults__ = wheel_pack.complaints.__defaults__, (sound,)
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                self.assertEqual(wheel_pack.main(), 1)
        finally:
            sys.argv, wheel_pack.complaints.__defaults__ = arguments, look
        self.assertIn("error: ltrp-0.1.0-cp311-cp311-linux_x86_64.whl: it is for linux_x86_64", said.getvalue())


if __name__ == "__main__":
    unittest.main()
