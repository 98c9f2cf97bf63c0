#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Region-of-interest JPEG: as large as a plain one, but better in highly ranked regions; all decoders can read it."""
import argparse
import math
import sys

import cv2
import numpy as np

from sample_tools import (INTERRUPTED, Progress, add_common, catch_interrupt, create_ranker, interrupted, ltrp,
                          read_image, run, select_params, write_bytes)

LUMA = np.float32([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99]])
CHROMA = np.full((8, 8), 99, np.float32)
CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
COSINE = np.float32([[(0.5 if u else math.sqrt(0.125)) * math.cos((2 * x + 1) * u * math.pi / 16) for x in range(8)]
                     for u in range(8)])


def quantization_steps(quality, chroma):
    """Quantization steps of an 8 x 8 block at a quality, scaled as in libjpeg from Annex K of the standard."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip(((CHROMA if chroma else LUMA) * scale + 50) // 100, 1, 255)


def encode(image, quality):
    written, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    if not written:
        raise RuntimeError("this OpenCV cannot write JPEG")
    return data.tobytes()


# ! [thin]
class Thinner:
    """Removes small coefficients from blocks outside of the kept patches, so that the encoder needs few bits for
    them. Luma is cut into blocks of 8 x 8 pixels and chroma, halved, into such of 16 x 16, which are those of the
    encoder. `kept` is uint8 of the photo's size, not 0 in kept patches."""

    def __init__(self, photo, kept):
        self.shape = photo.shape[:2]
        below, right = -photo.shape[0] % 16, -photo.shape[1] % 16
        padded = cv2.copyMakeBorder(photo, 0, below, 0, right, cv2.BORDER_REPLICATE)
        mask = cv2.copyMakeBorder(kept, 0, below, 0, right, cv2.BORDER_CONSTANT, value=0)
        self.ycc = cv2.cvtColor(np.float32(padded) / 255, cv2.COLOR_BGR2YCrCb)
        self.dropped, self.coefficients = [], []
        for i, side in enumerate((8, 16, 16)):
            height, width = mask.shape[0] // side, mask.shape[1] // side
            # A block that overlaps a kept patch is left unchanged.
            self.dropped.append(mask.reshape(height, side, width, side).max((1, 3)) == 0)
            plane = self.ycc[:, :, i]
            if i:
                plane = cv2.resize(plane, (mask.shape[1] // 2, mask.shape[0] // 2), interpolation=cv2.INTER_AREA)
            blocks = (plane * 255 - 128).reshape(height, 8, width, 8).transpose(0, 2, 1, 3)
            self.coefficients.append(COSINE @ blocks @ COSINE.T)

    def apply(self, quality, strength):
        """The input of the encoder: in dropped blocks no coefficient below `strength` of its steps."""
        changed = self.ycc.copy()
        for i in range(3):
            small = np.abs(self.coefficients[i]) < strength * quantization_steps(quality, i > 0)
            small[:, :, 0, 0] = False   # the mean, which is kept
            blocks = COSINE.T @ np.where(small, 0, self.coefficients[i]) @ COSINE
            height, width = blocks.shape[:2]
            plane = (blocks.transpose(0, 2, 1, 3).reshape(height * 8, width * 8) + 128) / 255
            where = self.dropped[i].repeat(8, 0).repeat(8, 1)
            if i:
                plane, where = plane.repeat(2, 0).repeat(2, 1), where.repeat(2, 0).repeat(2, 1)
            changed[:, :, i] = np.where(where, plane, changed[:, :, i])
        image = np.clip(np.rint(cv2.cvtColor(changed, cv2.COLOR_YCrCb2BGR) * 255), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(image[:self.shape[0], :self.shape[1]])
# ! [thin]


def fit_into(thinner, quality, limit, progress):
    """Kept patches at `quality` and the rest thinned as little as fits into `limit` bytes; None if impossible."""
    # Half a step is what the encoder itself rounds away; 200 steps leave only the means.
    best, low, high = None, math.log(0.5), math.log(200)
    for i in range(12):
        strength = (low + high) / 2 if i else high   # the strongest first: if that is too large, there is no solution
        data = encode(thinner.apply(quality, math.exp(strength)), quality)
        progress.step(i + 1)
        if interrupted():
            return None
        if len(data) <= limit:
            best, high = data, strength
        elif i == 0:
            return None
        else:
            low = strength
    return best


def psnr(a, b, mask):
    error = np.mean((np.float64(a[mask]) - b[mask]) ** 2) if mask.any() else 0
    return 10 * math.log10(255 ** 2 / max(error, 1e-10))


def measure(name, quality, data, photo, kept):
    """Prints and returns the PSNR inside and outside the kept patches, in dB."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    inside, outside = psnr(photo, decoded, kept > 0), psnr(photo, decoded, kept == 0)
    print(f"{name:6} quality {quality:2}: {len(data):7} bytes, PSNR {inside:.2f} dB inside the kept patches, "
          f"{outside:.2f} outside, {psnr(photo, decoded, kept >= 0):.2f} in all")
    return inside, outside


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("image", help="photo to compress")
    add_common(arguments)
    arguments.add_argument("--cluster", action="store_true",
                           help="keep varied patches (70 %% by score, the rest from clusters) instead of the best only")
    arguments.add_argument("--quality", "-q", type=int, default=30,
                           help="quality of the plain JPEG whose size must not be exceeded, 1 to 95; 30")
    arguments.add_argument("--boost", "-b", type=int, default=20, help="how much higher the quality of kept patches is "
                           "to be; lowered where the size does not allow it; 20")
    arguments.add_argument("--output", "-o", help="JPEG to write")
    arguments.add_argument("--plain", help="the plain JPEG to write, to compare")
    args = arguments.parse_args()
    if not 1 <= args.quality <= 95 or args.boost < 1:
        arguments.error("--quality must be 1 to 95 and --boost at least 1")

    photo = read_image(args.image)
    ranking = create_ranker(args.model).rank(photo)
    keep = ltrp.selectPatches(ranking, select_params(args.keep, args.cluster), photo)
    kept = np.zeros(photo.shape[:2], np.uint8)
    for patch in keep:
        x, y, width, height = ranking.rect(int(patch))
        kept[y:y + height, x:x + width] = 255

    catch_interrupt()
    plain, thinner, roi = encode(photo, args.quality), Thinner(photo, kept), None
    inside = min(98, args.quality + args.boost)
    with Progress("encoding, try") as progress:
        while roi is None and inside > args.quality and not interrupted():
            roi = fit_into(thinner, inside, len(plain), progress)
            if roi is None:
                inside -= max(1, (inside - args.quality) // 4)
    if interrupted():
        return INTERRUPTED   # nothing has been written yet
    if roi is None:
        raise RuntimeError(f"{args.image}: the kept patches alone need more than the plain JPEG; keep fewer")

    for path, data in ((args.output, roi), (args.plain, plain)):
        if path:
            write_bytes(path, data)
    print(f"{args.image}: {photo.shape[1]} x {photo.shape[0]}, kept {len(keep)} of {ranking.scores.size} patches")
    was = measure("plain", args.quality, plain, photo, kept)
    now = measure("roi", inside, roi, photo, kept)
    print(f"at {100 * len(roi) / len(plain):.1f} % of the size: {now[0] - was[0]:+.2f} dB inside, "
          f"{now[1] - was[1]:+.2f} outside")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
