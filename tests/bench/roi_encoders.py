#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Judges `ltrp roi` in an encoder at equal bit rate: quality inside and outside of foreground masks.

Makes a clip of photos (a slow pan and zoom over each, with a hand's tremor and noise) and moves their masks along.
Encodes it plainly (the encoder's own adaptive quantisation), by the ranking, by as large a share of patches nearest the
centre, and by the masks themselves, for comparison. The CRF of each is searched until its size is that of the plain
encoding within 0.5 %; kvazaar and SVT-AV1 take whole ones only, so that figures are interpolated between two. VMAF, of
whole frames, is measured where FFmpeg has libvmaf. Needs ffmpeg, numpy and OpenCV's Python package; the FFmpeg of the
package imageio-ffmpeg has libvmaf and all encoders named here but SvtAv1EncApp (Debian 13: svt-av1).

    tests/bench/roi_encoders.py build/bin/ltrp images/ foreground/ --count 8
    tests/bench/roi_encoders.py build/bin/ltrp images/ foreground/ --encoder libkvazaar --ffmpeg .../imageio_ffmpeg/binaries/ffmpeg-...
"""
import argparse
import functools
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT, GRID = 480, 360, 14
FFMPEG, SVT = "ffmpeg", "SvtAv1EncApp"   # --ffmpeg, --svt
ENCODERS = {
    "libx264": ["-preset", "medium"],
    "libx265": ["-preset", "medium", "-x265-params", "log-level=error"],
    "libvpx-vp9": ["-b:v", "0", "-cpu-used", "4"],
    "libkvazaar": [],
    "SvtAv1EncApp": ["--preset", "6"],
}
WHOLE = {"libkvazaar": 51, "SvtAv1EncApp": 63}   # encoders that take whole QPs, up to these
BLOCK = 64


def run(*command, stdout=subprocess.DEVNULL):
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=stdout,
                          stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def ffmpeg(*arguments, stdout=subprocess.DEVNULL):
    return run(FFMPEG, "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *arguments, stdout=stdout)


@functools.lru_cache
def version():
    """Major version of FFmpeg: releases call themselves 7.1, builds of git n7.1-4-g... (or N-..., which is newer)."""
    words = run(FFMPEG, "-version", stdout=subprocess.PIPE).decode().split()
    number = words[2].lstrip("n").split(".")[0].split("-")[0]
    return int(number) if number.isdigit() else 99


def make_clip(pairs, shot, folder):
    """Writes frames; returns their masks, bool (frames, HEIGHT, WIDTH)."""
    random, masks = np.random.default_rng(0), []
    for number, (photo_path, mask_path) in enumerate(pairs):
        photo, mask = cv2.imread(str(photo_path)), cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
        if photo is None or mask is None or photo.shape[:2] != mask.shape:
            sys.exit(f"{photo_path}, {mask_path}: not a photo and a mask of one size")
        height, width = mask.shape
        for i in range(shot):
            t, n = i / max(1, shot - 1), number * shot + i
            zoom = min(width / WIDTH, height / HEIGHT) * (0.98 - 0.2 * t)
            room_x, room_y = (width - zoom * WIDTH) / 2, (height - zoom * HEIGHT) / 2
            x = width / 2 + room_x * (-1) ** number * 0.7 * np.cos(np.pi * t) + np.sin(1.9 * n)
            y = height / 2 + room_y * 0.5 * np.sin(np.pi * t) + np.sin(2.7 * n + 1)
            place = np.float64([[zoom, 0, x - zoom * WIDTH / 2], [0, zoom, y - zoom * HEIGHT / 2]])
            frame = cv2.warpAffine(photo, place, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                                   borderMode=cv2.BORDER_REFLECT)
            frame = np.clip(frame + random.normal(0, 2, frame.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"{n:05d}.png"), frame)
            masks.append(cv2.warpAffine(mask, place, (WIDTH, HEIGHT), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
                                        borderMode=cv2.BORDER_REFLECT) > 127)
    return np.array(masks)


def script_of(kept, strength, shot):
    """A filter script in the form of `ltrp roi`: kept is bool (frames, GRID, GRID), one choice a shot."""
    branches, commands = [], []
    for first in range(0, len(kept), shot):
        now, filters = kept[first], []
        share = now.mean()
        for row in range(GRID):
            edges = np.flatnonzero(np.diff(np.r_[0, now[row].astype(int), 0]))
            for left, right in zip(edges[::2], edges[1::2]):
                filters.append(f"addroi=x=iw*{left}/{GRID}:y=ih*{row}/{GRID}:w=iw*{right - left}/{GRID}:h=ih*1/{GRID}:"
                               f"qoffset={(share - 1) * strength / 51:.4f}")
        filters.append(f"addroi=x=0:y=0:w=iw:h=ih:qoffset={share * strength / 51:.4f}")
        if branches:
            commands.append(f"{(first - 0.5) / 25:.6f} streamselect@roi map {len(branches)}")
        branches.append(",".join(filters))
    count = len(branches)
    if count == 1:
        return branches[0]
    return (f"sendcmd=c='{'; '.join(commands)}',split={count}" + "".join(f"[in{i}]" for i in range(count))
            + "".join(f";[in{i}]{filters}[out{i}]" for i, filters in enumerate(branches)) + ";"
            + "".join(f"[out{i}]" for i in range(count)) + f"streamselect@roi=inputs={count}:map=0")


def kvazaar_map_of(kept, strength):
    """A map in the binary form of `ltrp roi --format kvazaar`."""
    offsets = np.where(kept, (kept.mean() - 1) * strength, kept.mean() * strength).round().astype(np.int8)
    return b"".join(struct.pack("=ii", GRID, GRID) + frame.tobytes() for frame in offsets)


def svt_map_of(kept, strength):
    """A map in the form of `ltrp roi --format svt-av1`."""
    lines, before = "", None
    for number, frame in enumerate(kept):
        pixels = cv2.resize(frame.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        share = np.array([[pixels[y:y + BLOCK, x:x + BLOCK].mean() for x in range(0, WIDTH, BLOCK)]
                          for y in range(0, HEIGHT, BLOCK)])
        share = (share * 7).round() / 7
        line = " ".join(str(int(value)) for value in ((share.mean() - share) * strength * 4).round().ravel())
        if line != before:
            lines += f"{number} {line}\n"
        before = line
    return lines


def encode(frames, encoder, crf, regions, out):
    """Encodes with a CRF, kvazaar with a QP; regions: a filter script or the encoder's map, or None. Returns the size."""
    options, filters = list(ENCODERS[encoder]), []
    if encoder == "SvtAv1EncApp":
        clip = frames.parent / "clip.y4m"
        if not clip.exists():
            ffmpeg("-framerate", 25, "-i", frames / "%05d.png", "-pix_fmt", "yuv420p", clip)
        run(SVT, "-i", clip, "--crf", crf, *options, *(["--roi-map-file", regions] if regions else []), "-b", out)
        return out.stat().st_size
    if encoder == "libkvazaar":
        options += ["-kvazaar-params", f"preset=medium,qp={crf}" + (f",roi={regions}" if regions else "")]
    else:
        options += ["-crf", f"{crf:.4f}"]
        filters = ["-filter_script:v" if version() < 7 else "-/filter:v", regions] if regions else []
    ffmpeg("-framerate", 25, "-i", frames / "%05d.png", *filters, "-c:v", encoder, *options, "-pix_fmt", "yuv420p", "-f", "matroska", out)
    return out.stat().st_size


def measure_at(frames, encoder, target, crf, regions, out, judge):
    """Quality and size of an encoding as large as the target."""
    low, high = crf - 12, min(WHOLE.get(encoder, 51), crf + 12)
    if encoder not in WHOLE:
        for _ in range(16):
            middle = (low + high) / 2
            size = encode(frames, encoder, middle, regions, out)
            if abs(size / target - 1) < 0.005:
                return judge(out), size
            low, high = (middle, high) if size > target else (low, middle)
        sys.exit(f"{out}: no CRF gives {target} bytes within 0.5 %, the nearest gave {size}")
    low, high = int(low), int(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if encode(frames, encoder, middle, regions, out) > target else (low, middle)
    sizes, figures = [], []
    for qp in (low, high):
        sizes.append(encode(frames, encoder, qp, regions, out))
        figures.append(judge(out))
    if not sizes[1] <= target <= sizes[0]:
        sys.exit(f"{out}: QP {low} and {high} give {sizes} bytes, not around {target}")
    share = np.log(sizes[0] / target) / np.log(sizes[0] / sizes[1])
    return [(1 - share) * a + share * b for a, b in zip(*figures)], target


def has_vmaf():
    return b"libvmaf" in ffmpeg("-filters", stdout=subprocess.PIPE)


def vmaf(frames, decoded, folder):
    """Mean over whole frames, 0 to 100."""
    log = folder / "vmaf.json"
    ffmpeg("-i", decoded, "-framerate", 25, "-i", frames / "%05d.png", "-lavfi",
           "[0:v]settb=1/25,setpts=N[a];[1:v]format=yuv420p,settb=1/25,setpts=N[b];"
           f"[a][b]libvmaf=log_fmt=json:log_path={log}", "-f", "null", "-")
    return json.loads(log.read_text())["pooled_metrics"]["vmaf"]["mean"]


def luma(*source):
    raw = ffmpeg(*source, "-pix_fmt", "yuv420p", "-f", "rawvideo", "-", stdout=subprocess.PIPE)
    return np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT * 3 // 2, WIDTH)[:, :HEIGHT]


def ssim_map(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)

    def blur(x):
        return cv2.GaussianBlur(x, (11, 11), 1.5)
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a ** 2, blur(b * b) - mean_b ** 2
    both = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a ** 2 + mean_b ** 2 + c1) * (var_a + var_b + c2))


def quality(source, decoded, masks):
    """PSNR and SSIM of the luma, each inside, outside and everywhere."""
    if source.shape != decoded.shape:
        sys.exit(f"{len(decoded)} frames were decoded of {len(source)}")
    square = (source.astype(np.float64) - decoded) ** 2
    ssim = np.array([ssim_map(a, b) for a, b in zip(source, decoded)])
    everywhere = np.ones_like(masks)
    return ([10 * np.log10(255 ** 2 / square[where].mean()) for where in (masks, ~masks, everywhere)]
            + [ssim[where].mean() for where in (masks, ~masks, everywhere)])


def main():
    global FFMPEG, SVT
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("ltrp", help="the tool")
    arguments.add_argument("photos", type=Path, help="folder of photos")
    arguments.add_argument("masks", type=Path, help="folder of their masks, NAME.png")
    arguments.add_argument("--count", type=int, default=8, help="photos to take, spread over the folder; 8")
    arguments.add_argument("--shot", type=int, default=25, help="frames a photo; 25")
    arguments.add_argument("--keep", type=float, default=0.25, help="share of patches; 0.25")
    arguments.add_argument("--strength", type=float, nargs="+", default=[6],
                           help="QP between kept and other patches; 6")
    arguments.add_argument("--crf", type=float, nargs="+", default=[30], help="of the plain encoding, kvazaar's QP; 30")
    arguments.add_argument("--svt", default=SVT, metavar="PROGRAM", help="the SvtAv1EncApp to run; the one on PATH")
    arguments.add_argument("--encoder", choices=ENCODERS, default="libx264", help="libx264")
    arguments.add_argument("--ffmpeg", default=FFMPEG, metavar="PROGRAM", help="the FFmpeg to run; the one on PATH")
    args = arguments.parse_args()
    FFMPEG, SVT = args.ffmpeg, args.svt
    whole = args.encoder in WHOLE
    if whole and any(crf != int(crf) for crf in args.crf):
        arguments.error(f"--crf: {args.encoder} takes whole numbers")
    args.crf = [int(crf) if whole else crf for crf in args.crf]
    form, write = {"libkvazaar": ("kvazaar", kvazaar_map_of), "SvtAv1EncApp": ("svt-av1", svt_map_of)}.get(
        args.encoder, ("ffmpeg", script_of))

    pairs = [(path, args.masks / (path.stem + ".png")) for path in sorted(args.photos.iterdir())]
    pairs = [pair for pair in pairs if pair[1].exists()]
    if len(pairs) < args.count:
        sys.exit(f"{args.photos}: {len(pairs)} photos with masks, expected {args.count} or more")
    pairs = pairs[:: len(pairs) // args.count][: args.count]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        frames = folder / "frames"
        os.mkdir(frames)
        masks = make_clip(pairs, args.shot, frames)
        source = luma("-framerate", "25", "-i", frames / "%05d.png")
        print(f"{len(masks)} frames of {len(pairs)} photos, {WIDTH} x {HEIGHT}; "
              f"{100 * masks.mean():.0f} % foreground\n")

        y, x = np.mgrid[:GRID, :GRID] - (GRID - 1) / 2
        number = int(GRID * GRID * args.keep)

        def best(values):
            kept = np.zeros(GRID * GRID, bool)
            kept[np.argsort(-values.ravel(), kind="stable")[:number]] = True
            return kept.reshape(GRID, GRID)
        centre = np.array([best(-(x * x + y * y))] * len(masks))
        # The mask of a whole shot, by the mean over its frames: as often as the other scripts change.
        shares = np.array([cv2.resize(mask.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA)
                           for mask in masks]).reshape(len(pairs), args.shot, GRID, GRID).mean(axis=1)
        truth = np.repeat([best(share) for share in shares], args.shot, axis=0)

        with_vmaf = has_vmaf()

        def judge(out):
            return quality(source, luma("-i", out), masks) + ([vmaf(frames, out, folder)] if with_vmaf else [])
        print("| CRF | strength | regions | bytes | PSNR inside | outside | all | SSIM inside | outside | all |"
              + (" VMAF |" if with_vmaf else "") + "\n" + "| --- " * (11 if with_vmaf else 10) + "|")
        for crf in args.crf:
            plain = folder / "plain.mkv"
            target = encode(frames, args.encoder, crf, None, plain)

            def report(name, strength, size, figures):
                print(f"| {crf:g} | {strength} | {name} | {100 * size / target:.1f} % | "
                      + " | ".join(f"{value:.{digits}f}" for value, digits in zip(figures, [2] * 3 + [4] * 3 + [2])) + " |", flush=True)
            report("none (the encoder's AQ)", "", target, judge(plain))
            for strength in args.strength:
                regions = {name: folder / f"{name}.bin" for name in ("ranking", "centre", "mask")}
                run(args.ltrp, "roi", frames, "--format", form, "--out", regions["ranking"], "--keep", args.keep,
                    "--strength", strength)
                for name, kept, shot in (("centre", centre, len(masks)), ("mask", truth, args.shot)):
                    made = write(kept, strength, shot) if form == "ffmpeg" else write(kept, strength)
                    regions[name].write_bytes(made if form == "kvazaar" else made.encode())
                for name, file in regions.items():
                    figures, size = measure_at(frames, args.encoder, target, crf, file, folder / f"{name}.mkv", judge)
                    report(name, f"{strength:g}", size, figures)


if __name__ == "__main__":
    main()
