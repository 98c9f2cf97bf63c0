"""Packs everything for a GPU machine without network into a folder: programs, recorded cases, photos, scripts.

tests/gpu/pack DIR needs nvcc and no GPU. There, DIR/run judges and measures, DIR/train trains (doc/cuda.md). Building
OpenCV takes long the first time; the build folder is kept. Exit status: 0 DIR is ready, 1 it is not, 2 wrong options.
"""

import argparse
import hashlib
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
LIMIT_MIB = 55
MARK = "parcel.json"
SCRIPTS = ("tests/gpu/*.py", "tests/gpu/run", "tests/gpu/train", "tests/bench/peers/*.py")
COMMANDS = ("run", "train")


class Refused(Exception):
    """An error in the caller's folders or the parcel, in one sentence."""


def size_of(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def check(options: argparse.Namespace) -> None:
    """Before anything is built: checks the folders, and that DIR can become the parcel."""
    target = options.dir
    if target.exists() and not (target / MARK).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise Refused(f"{target}: is there and no parcel (no {MARK}); name another folder")
    for folder in options.golden:
        if not any(folder.glob("*/case.json")):
            raise Refused(f"{folder}: holds no recorded cases (no NAME/case.json)")
    for folder in options.photos:
        if not folder.is_dir():
            raise Refused(f"{folder}: is no folder of photos")
    if options.eval and not all((options.eval / part).is_dir() for part in ("images", "foreground")):
        raise Refused(f"{options.eval}: has no images/ and foreground/, as `ltrp eval coverage` wants")
    if len({folder.resolve().name for folder in options.golden}) < len(options.golden):
        raise Refused("two folders of recorded cases have the same name")


def build(options: argparse.Namespace) -> tuple[Path, Path]:
    """(folder of the programs, the program that reduces photos)."""
    command = [ROOT / "tests/gpu/parcel/build", options.build, str(options.jobs)]
    if options.opencv_source:
        command.append(options.opencv_source)
    if subprocess.run(command).returncode != 0:
        raise Refused("the programs could not be built")
    return options.build / "programs", options.build / "ltrp/bin/ltrp_small_photos"


def pack_photos(reducer: Path, options: argparse.Namespace, target: Path) -> list[dict[str, Any]]:
    """Training photos, as many as fit, evenly from all folders; a line of counts per folder."""
    target.mkdir()
    command = [reducer, str(options.side), str(int(options.photo_mib * MIB)), target, *options.photos]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Refused("the photos could not be reduced")
    counts = [json.loads(line) for line in done.stdout.splitlines()]
    for folder, entry in zip(options.photos, counts):
        entry["folder"] = folder.resolve().name  # no other path of this machine is included
        print(f"  {entry['folder']}: {entry['written']} of {entry['images']} photos, {entry['unreadable']} unreadable")
        if entry["written"] == 0:
            raise Refused(f"{folder}: none of its photos was packed; is --photo-mib {options.photo_mib:g} too little?")
    return counts


def packed(programs: Path, judges: bool, folder: Path) -> Path:
    """The programs in an archive, kept in `folder`: packing takes a minute, and they are often unchanged."""

    def owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    # The tests, the benchmark and the shipped models (most of a parcel) are only for `run`.
    kind, parts = ("run", ("bin", "lib", "share")) if judges else ("train", ("bin/ltrp", "lib"))
    content = hashlib.sha256()
    for part in parts:
        top = programs / part
        for path in [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file()):
            content.update(f"{path.relative_to(programs)} {path.stat().st_size} {path.stat().st_mode}\n".encode())
            content.update(path.read_bytes())
    archive = folder / f"{kind}-{content.hexdigest()[:32]}.tar.xz"
    if archive.exists():
        return archive
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{kind}-*.tar.xz*"):
        old.unlink()
    # All programs contain OpenCV: with a window larger than a program, the second one compresses to a third of the
    # first.
    how = [{"id": lzma.FILTER_LZMA2, "preset": 3, "dict_size": 64 * MIB}]
    half = archive.with_name(archive.name + ".part")
    with lzma.open(half, "wb", filters=how) as file, tarfile.open(fileobj=file, mode="w|") as tar:
        for part in parts:
            tar.add(programs / part, part, filter=owned_by_root)
    half.rename(archive)
    return archive


def fill(parcel: Path, programs: Path, reducer: Path, options: argparse.Namespace) -> None:
    judges = "run" in options.commands
    copy(packed(programs, judges, options.build / "packed"), parcel / "programs.tar.xz")
    for name in options.commands:
        copy(ROOT / "tests/gpu/parcel/start", parcel / name)
    for pattern in SCRIPTS:
        for script in sorted(ROOT.glob(pattern)):
            copy(script, parcel / script.relative_to(ROOT))
    for folder in ("samples/photos", "samples/recipes", *(["tests/data/golden"] if judges else [])):
        copy(ROOT / folder, parcel / folder)
    if options.recipe:
        shutil.rmtree(parcel / "samples/recipes", ignore_errors=True)
        copy(options.recipe, parcel / "samples/recipes")
    for folder in options.golden:
        copy(folder, parcel / "golden" / folder.resolve().name)
    if options.eval:
        for part in ("images", "foreground"):
            copy(options.eval / part, parcel / "eval" / part)
    content = {"made": time.strftime("%Y-%m-%d"), "version": version(), "side": options.side}
    if options.photos:
        content["photos"] = pack_photos(reducer, options, parcel / "photos")
    (parcel / MARK).write_text(json.dumps(content, indent=1) + "\n")


def version() -> str:
    said = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout.strip()
    return said or "unknown"


def weigh(parcel: Path) -> float:
    """Prints the size of each part; returns the total in MiB."""
    total = 0
    for part in sorted(parcel.iterdir(), key=size_of, reverse=True):
        total += size_of(part)
        print(f"{size_of(part) / MIB:8.2f} MiB  {part.name}")
    print(f"{total / MIB:8.2f} MiB  in all, {LIMIT_MIB} at most")
    return total / MIB


def pack(options: argparse.Namespace, make: Callable[[argparse.Namespace], tuple[Path, Path]]) -> None:
    check(options)
    programs, reducer = make(options)
    options.dir.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=options.dir.name + ".part.", dir=options.dir.parent))
    try:
        part.chmod(0o755)
        fill(part, programs, reducer, options)
        total = weigh(part)
        if total > LIMIT_MIB:
            raise Refused(
                f"the parcel has {total:.1f} MiB, at most {LIMIT_MIB} can travel: a smaller --photo-mib, fewer "
                "folders, or a parcel --for run and one --for train"
            )
        if options.dir.exists():
            shutil.rmtree(options.dir)
        os.replace(part, options.dir)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def main(arguments: list[str], make: Callable[[argparse.Namespace], tuple[Path, Path]] = build) -> int:
    parser = argparse.ArgumentParser(
        prog="tests/gpu/pack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def positive(text: str) -> float:
        value = float(text)
        if not 0 < value < 1e6:
            raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
        return value

    parser.add_argument("dir", type=Path, metavar="DIR", help="the parcel; a parcel that is there is replaced")
    parser.add_argument(
        "--for",
        dest="commands",
        action="append",
        choices=COMMANDS,
        help="a parcel for that command alone: without photos to train on, or without tests and shipped models (both)",
    )
    parser.add_argument(
        "--golden", type=Path, nargs="+", default=[], metavar="FOLDER", help="more folders of recorded cases"
    )
    parser.add_argument("--photos", type=Path, nargs="+", default=[], metavar="FOLDER", help="photos to train on")
    parser.add_argument("--side", type=int, default=128, metavar="PIXELS", help="their short side, reduced to (128)")
    parser.add_argument("--photo-mib", type=positive, default=24, metavar="MIB", help="size of all of them (24)")
    parser.add_argument("--eval", type=Path, metavar="FOLDER", help="images/ and foreground/ for the coverage table")
    parser.add_argument("--recipe", type=Path, metavar="FOLDER", help="recipe instead of samples/recipes")
    parser.add_argument(
        "--build",
        type=Path,
        default=ROOT / "build-parcel",
        metavar="FOLDER",
        help="where to build (build-parcel in the project)",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="compilers at a time (all cores)"
    )
    parser.add_argument("--opencv-source", type=Path, metavar="FOLDER", help="OpenCV's source instead of a download")
    options = parser.parse_args(arguments)
    options.commands = options.commands or COMMANDS
    if "run" not in options.commands and not options.photos:
        parser.error("--for train wants --photos")
    if options.side < 8 or options.jobs < 1:
        parser.error("--side wants 8 pixels or more, --jobs 1 or more")
    start = time.monotonic()
    try:
        pack(options, make)
    except (Refused, OSError, shutil.Error) as error:
        print(f"tests/gpu/pack: {error}; {options.dir} was not written", file=sys.stderr)
        return 1
    print(f"{options.dir} is ready after {time.monotonic() - start:.0f} s: copy it, then DIR/run and DIR/train there")
    return 0
