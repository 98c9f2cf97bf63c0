#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Makes wheels of the extensions that tests/package/wheel-parts/build compiled, and says what is wrong with one.

What a wheel says of itself comes from pyproject.toml by way of its own build backend, which here compiles nothing.
"""

import argparse
import base64
import csv
import hashlib
import io
import json
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Dict, Iterable, List

LARGEST = 25 * 2**20
# Of the 10 bits behind the point of a half-precision weight, those that a wheel keeps. Coverage stays the same, see
# doc/packages.md.
WEIGHT_BITS = 5
MODELS = ("ltrp-mae-small.safetensors", "ltrp-rank-tiny.safetensors")
# What auditwheel lets a wheel take from the system, as far as this library may want it. libstdc++ and libgcc_s, which NumPy's
# wheels need, too, are not linked statically: an interpreter that ends stops its threads by unwinding them through libgcc_s,
# which aborts in frames of a second copy.
SYSTEM = re.compile(r"(libc|libm|libpthread|libdl|librt|ld-linux-x86-64|libstdc\+\+|libgcc_s)\.so\.[0-9]+$")
INSIDE = ("opencv", "onednn", "libjpeg-turbo", "libpng", "libwebp", "libtiff", "zlib", "protobuf", "mlas", "clapack",
          "nlohmann-json", "pybind11", "gcc-runtime")


def digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def write_wheel(path: Path, files: Dict[str, bytes], level: int = 9) -> None:
    """A wheel of these files. RECORD is made here, times are fixed: the same files make the same bytes. Level 0: unpacked."""
    info = next(name.split("/")[0] for name in files if name.endswith(".dist-info/METADATA"))
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    for name in sorted(files):
        rows.writerow((name, digest(files[name]), len(files[name])))
    rows.writerow((info + "/RECORD", "", ""))
    method = zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in [*sorted(files.items()), (info + "/RECORD", record.getvalue().encode())]:
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = (0o755 if ".so" in Path(name).name else 0o644) << 16
            entry.compress_type = method
            archive.writestr(entry, data, compresslevel=level or None)


def read_wheel(path: Path) -> Dict[str, bytes]:
    """Its files, without RECORD."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()
                if not name.endswith(("/", ".dist-info/RECORD"))}


def rounded(model: bytes) -> bytes:
    """A safetensors file whose half-precision matrices are rounded to WEIGHT_BITS, so that they can be packed tightly."""
    size = struct.unpack_from("<Q", model)[0]
    header = json.loads(model[8 : 8 + size])
    low = 10 - WEIGHT_BITS
    parts = [model[: 8 + size]]
    tensors = sorted((tensor for name, tensor in header.items() if name != "__metadata__"), key=lambda t: t["data_offsets"])
    for tensor in tensors:
        begin, end = (8 + size + offset for offset in tensor["data_offsets"])
        data = model[begin:end]
        if tensor["dtype"] == "F16" and len(tensor["shape"]) > 1:
            # All at once, as one large number: magnitudes are rounded to the nearest, halves up.
            every = lambda value: int.from_bytes(struct.pack("<H", value) * (len(data) // 2), "little")
            whole = (int.from_bytes(data, "little") + every(1 << (low - 1))) & every(0x10000 - (1 << low))
            data = whole.to_bytes(len(data), "little")
        parts.append(data)
    result = b"".join(parts)
    if len(result) != len(model):
        raise ValueError("a model's tensors do not fill its file")
    return result


def assemble(pure: Dict[str, bytes], extension: Path, models: Iterable[Path], licences: Iterable[Path],
             out: Path) -> Path:
    """A wheel for the Python that an extension's name tells, for auditwheel to work on: unpacked, which is quicker."""
    found = re.fullmatch(r"_ltrp\.cpython-(\d+)-(\w+)-linux-gnu\.so", extension.name)
    if not found:
        raise ValueError("%s: expected a name like _ltrp.cpython-311-x86_64-linux-gnu.so" % extension)
    tag = "cp%s-cp%s-linux_%s" % (found[1], found[1], found[2])
    files = dict(pure)
    about = next(name for name in files if name.endswith(".dist-info/WHEEL"))
    info = about.rsplit("/", 1)[0]
    lines = [line for line in files[about].decode().splitlines() if line and not re.match("Tag:|Root-Is-Purelib:", line)]
    files[about] = "\n".join([*lines, "Root-Is-Purelib: false", "Tag: " + tag, ""]).encode()
    files["ltrp/" + extension.name] = extension.read_bytes()
    for model in models:
        files["ltrp/models/" + model.name] = rounded(model.read_bytes())
    for licence in licences:
        files["%s/licenses/inside/%s" % (info, licence.name)] = licence.read_bytes()
    path = out / ("%s-%s.whl" % (info[: -len(".dist-info")], tag))
    write_wheel(path, files, level=0)
    return path


def dynamic(library: bytes) -> Dict[str, List[str]]:
    """Of a shared library, by readelf: what it needs, where it looks for that (RUNPATH), which symbols it lets out, and which
    it lacks that are neither in a library with versions, as glibc's and OpenMP's, nor in Python."""
    with tempfile.NamedTemporaryFile(suffix=".so") as file:
        file.write(library)
        file.flush()
        text = subprocess.run(["readelf", "--wide", "-d", "--dyn-syms", file.name], check=True, stdout=subprocess.PIPE,
                              universal_newlines=True).stdout
    return {
        "needed": re.findall(r"\(NEEDED\)[^[]*\[([^]]*)\]", text),
        "path": re.findall(r"\((?:RPATH|RUNPATH)\)[^[]*\[([^]]*)\]", text),
        "lacking": [symbol for symbol in re.findall(r" GLOBAL +DEFAULT +UND (\S+)", text)
                    if "@" not in symbol and not re.match(r"_?Py", symbol)],
        "exported": re.findall(r" (?:GLOBAL|WEAK|UNIQUE) +\w+ +(?!UND)\w+ +([^\s@]+)", text),
    }


def complaints(path: Path, look=dynamic) -> List[str]:
    """What keeps a wheel from being one that needs nothing; empty: it is one."""
    found = []
    if path.stat().st_size > LARGEST:
        found.append("it has %.1f MiB, at most %d are allowed" % (path.stat().st_size / 2**20, LARGEST // 2**20))
    name = re.fullmatch(r"ltrp-([0-9.]+)-cp(3\d+)-cp(3\d+)-(\w+(?:\.\w+)*)\.whl", path.name)
    if not name or name[2] != name[3]:
        return found + ["its name is not that of a wheel of ltrp for one CPython"]
    if not all(re.fullmatch(r"manylinux(_\d+_\d+|20\d\d|1)_\w+", platform) for platform in name[4].split(".")):
        found.append("it is for %s, expected manylinux (auditwheel)" % name[4])
    with zipfile.ZipFile(path) as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist() if not entry.endswith("/")}
    info = "ltrp-%s.dist-info" % name[1]
    for wanted in ["ltrp/__init__.py", "ltrp/__init__.pyi", "ltrp/py.typed", info + "/METADATA", info + "/WHEEL",
                   info + "/RECORD", info + "/licenses/LICENSE"] + ["ltrp/models/" + model for model in MODELS]:
        if wanted not in files:
            found.append("%s is missing" % wanted)
    for part in INSIDE:
        if not any(entry.startswith("%s/licenses/inside/%s" % (info, part)) for entry in files):
            found.append("the licence of %s, which is inside, is missing" % part)

    extensions = [entry for entry in files if re.match(r"ltrp/.*\.so", entry)]
    if len(extensions) != 1 or not extensions[0].startswith("ltrp/_ltrp.cpython-%s-" % name[2]):
        found.append("expected one extension, ltrp/_ltrp.cpython-%s-*.so; found %s" % (name[2], ", ".join(extensions) or "none"))
    beside = {entry.split("/", 1)[1]: entry for entry in files if entry.startswith("ltrp.libs/")}
    for entry in [*extensions, *beside.values()]:
        about = look(files[entry])
        for library in about["needed"]:
            if library not in beside and not SYSTEM.match(library):
                found.append("%s needs %s, which is not inside" % (entry, library))
        for place in about["path"]:
            if not place.startswith("$ORIGIN"):
                found.append("%s looks for libraries in %s" % (entry, place))
        if entry in extensions and about["lacking"]:
            found.append("%s lacks %d symbols: %s" % (entry, len(about["lacking"]), " ".join(about["lacking"][:5])))
        if entry in extensions and about["exported"] != ["PyInit__ltrp"]:
            others = [symbol for symbol in about["exported"] if symbol != "PyInit__ltrp"]
            found.append("%s exports %d symbols beside PyInit__ltrp: %s" % (entry, len(others), " ".join(others[:5])))

    about = files.get(info + "/METADATA", b"").decode().split("\n\n")[0]
    for requirement in re.findall(r"(?m)^Requires-Dist: *([\w.-]+)", about):
        if requirement != "numpy":
            found.append("it requires %s" % requirement)
    recorded = {row[0]: row[1] for row in csv.reader(io.StringIO(files.get(info + "/RECORD", b"").decode())) if row}
    for entry in sorted(files):
        if entry != info + "/RECORD" and recorded.get(entry) != digest(files[entry]):
            found.append("RECORD does not agree with %s" % entry)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", type=Path, help="the project")
    parser.add_argument("--modules", type=Path, help="folder of the extensions")
    parser.add_argument("--licences", type=Path, help="folder of licences of what is inside them")
    parser.add_argument("--out", type=Path, help="folder for the wheels")
    parser.add_argument("wheel", type=Path, nargs="*", help="only look at these")
    options = parser.parse_args()
    wheels = list(options.wheel)
    if not wheels:
        if not (options.source and options.modules and options.licences and options.out):
            parser.error("expected wheels, or --source, --modules, --licences and --out")
        with tempfile.TemporaryDirectory() as work:
            subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir",
                            work, "--config-settings", "wheel.cmake=false", str(options.source.resolve())], check=True)
            pure = read_wheel(next(Path(work).glob("*.whl")))
            extensions = sorted(options.modules.glob("_ltrp.*.so"))
            if not extensions:
                parser.error("%s has no extension _ltrp.*.so" % options.modules)
            options.out.mkdir(parents=True, exist_ok=True)
            for extension in extensions:
                made = assemble(pure, extension, (options.source / "modules/ltrp/models").glob("*.safetensors"),
                                options.licences.iterdir(), Path(work))
                repaired = Path(work) / "repaired" / extension.name
                subprocess.run([sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", str(repaired), str(made)], check=True)
                wheel = next(repaired.glob("*.whl"))
                write_wheel(options.out / wheel.name, read_wheel(wheel))   # packed as tightly as can be, without times
                wheels.append(options.out / wheel.name)
    failed = False
    for wheel in wheels:
        for complaint in complaints(wheel):
            print("error: %s: %s" % (wheel.name, complaint), file=sys.stderr)
            failed = True
        print("%s: %.2f MiB" % (wheel.name, wheel.stat().st_size / 2**20))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
