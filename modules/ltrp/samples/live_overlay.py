#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Ranks the patches of a video or camera image while it runs, and keeps the choice steady from frame to frame.

q, Esc or Ctrl-C end it. What it prints: frames per second, and how many of the kept patches change from one frame to
the next, with each frame by itself and with the steady choice.
"""
import argparse
import math
import os
import sys
import time

import cv2
import numpy as np

from sample_tools import (INTERRUPTED, Progress, add_common, catch_interrupt, create_ranker, interrupted, ltrp,
                          part_name, read_image, run, select_params, write_image)

CLIP_SIZE = (640, 480)


def photo_clip(paths, shot, noise):
    """Simulated camera that moves over photos, one after the other: pan, zoom, tremor and noise; deterministic."""
    random = np.random.default_rng(0)
    width, height = CLIP_SIZE
    for number, path in enumerate(paths):
        photo = read_image(path)
        scale = 1.5 * max(width / photo.shape[1], height / photo.shape[0])
        photo = cv2.resize(photo, None, fx=scale, fy=scale,
                           interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        for i in range(shot):
            t, side, n = i / max(1, shot - 1), -1 if number % 2 else 1, number * shot + i
            # The window shrinks from the largest that fits to two thirds of it and moves sideways within the photo.
            zoom = min(photo.shape[1] / width, photo.shape[0] / height) * (0.95 - 0.28 * t)
            room_x, room_y = (photo.shape[1] - zoom * width) / 2, (photo.shape[0] - zoom * height) / 2
            x = photo.shape[1] / 2 + room_x * side * 0.7 * math.cos(math.pi * t) + 1.5 * math.sin(1.9 * n)
            y = photo.shape[0] / 2 + room_y * 0.5 * math.sin(math.pi * t) + 1.5 * math.sin(2.7 * n + 1)
            to_photo = np.float64([[zoom, 0, x - zoom * width / 2], [0, zoom, y - zoom * height / 2]])
            frame = cv2.warpAffine(photo, to_photo, CLIP_SIZE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                                   borderMode=cv2.BORDER_REFLECT)
            if noise > 0:
                frame = np.clip(frame + random.normal(0, noise, frame.shape), 0, 255).astype(np.uint8)
            yield frame


def video(capture):
    while True:
        read, frame = capture.read()
        if not read:
            return
        yield frame


def open_source(path, shot, noise):
    """Frames, their number (0: unknown) and their rate."""
    photos = [path] if cv2.haveImageReader(path) else []
    if os.path.isdir(path):
        photos = sorted(p for p in (os.path.join(path, name) for name in os.listdir(path))
                        if os.path.isfile(p) and cv2.haveImageReader(p))
        if not photos:
            raise RuntimeError(f"{path}: no photo in this folder")
    if photos:
        return photo_clip(photos, shot, noise), shot * len(photos), 25
    if not hasattr(cv2, "VideoCapture"):
        raise RuntimeError(f"{path}: is no photo, and this OpenCV has no videoio module to read videos with")
    camera = path.isdigit()
    capture = cv2.VideoCapture(int(path) if camera else path)
    if not capture.isOpened():
        raise RuntimeError(f"camera {path}: cannot be opened" if camera else f"{path}: cannot be opened as a video")
    rate = capture.get(cv2.CAP_PROP_FPS)
    count = 0 if camera else max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    return video(capture), count, rate if 1 <= rate <= 240 else 25


class Sink:
    """A video file that gets its name when it is complete, or a folder of PNG files."""

    def __init__(self, path, rate):
        self.path, self.rate, self.written, self.writer = path, rate, 0, None
        self.video = bool(path) and os.path.splitext(path)[1] in (".avi", ".mp4", ".mkv", ".mov")
        if path and not self.video:
            os.makedirs(path, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.writer is not None:   # not finished
            self.writer.release()
            os.remove(part_name(self.path))

    def write(self, frame):
        if not self.path:
            return
        if not self.video:
            write_image(os.path.join(self.path, f"{self.written:05d}.png"), frame)
        else:
            if self.writer is None:
                code = cv2.VideoWriter_fourcc(*("MJPG" if self.path.endswith(".avi") else "mp4v"))
                writer = cv2.VideoWriter(part_name(self.path), code, self.rate, (frame.shape[1], frame.shape[0]))
                if not writer.isOpened():
                    raise RuntimeError(f"{self.path}: cannot be written as a video")
                self.writer = writer
            self.writer.write(frame)
        self.written += 1

    def finish(self):
        if self.writer is not None:
            self.writer.release()
            self.writer = None
            os.replace(part_name(self.path), self.path)
        if self.written:
            print(f"{self.path}: {self.written} frames")


def have_display():
    """Qt ends the whole program if there is no display, so this must be checked first."""
    return os.name == "nt" or sys.platform == "darwin" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def draw_view(frame, ranking, scores, kept, line):
    """The dimmed frame with a small heat map of the scores in its corner and a line of figures at the top."""
    view = ltrp.drawKept(frame, ranking.grid(), kept, None, 0.3)
    heat = ltrp.drawHeatMap(frame, np.ascontiguousarray(scores, np.float32), None, 0.7)
    heat = cv2.resize(heat, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    view[-heat.shape[0]:, -heat.shape[1]:] = heat
    size = max(0.3, view.shape[1] / 1280)
    bar = np.full((round(44 * size), view.shape[1], 3), 24, np.uint8)
    cv2.putText(bar, line, (round(12 * size), round(30 * size)), cv2.FONT_HERSHEY_SIMPLEX, size, (235, 235, 235),
                max(1, round(size * 1.5)), cv2.LINE_AA)
    return np.vstack([bar, view])


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("input", help="video file, number of a camera, photo, or folder of photos; photos become a "
                           "clip: a slow pan and zoom over each, with a hand's tremor and noise")
    add_common(arguments)
    arguments.add_argument("--memory", type=float, default=0.7,
                           help="weight of the past in the smoothed scores, in [0, 1); 0: every frame by itself; 0.7")
    arguments.add_argument("--margin", type=float, default=0.2, help="by how many standard deviations of the scores a "
                           "patch must beat a kept one to take its place, >= 0; 0.2")
    arguments.add_argument("--cut", type=float, default=0.5, help="a frame whose colours differ more than this from "
                           "the one before begins anew, in [0, 1]; 0.5")
    arguments.add_argument("--frames", type=int, default=0, help="stop after so many frames; 0: at the end")
    arguments.add_argument("--shot", type=int, default=60, help="frames per photo, when photos become a clip; 60")
    arguments.add_argument("--noise", type=float, default=4, help="noise of such a clip, grey levels; 4")
    arguments.add_argument("--output", "-o", help="video to write (.avi, .mp4), or a folder for frames as PNG")
    arguments.add_argument("--headless", action="store_true", help="no window, even where there is a display")
    args = arguments.parse_args()
    if not (0 <= args.noise <= 255 and args.shot >= 1 and args.frames >= 0):
        arguments.error("an option is outside its range")

    ranker = create_ranker(args.model)
    params = select_params(args.keep)
    # Before anything is opened: this checks the arguments.
    steady = ltrp.RankingTracker.create(params, args.memory, args.margin, args.cut)
    source, count, rate = open_source(args.input, args.shot, args.noise)
    window = not args.headless and have_display() and hasattr(cv2, "imshow")
    if not window:
        print("no window:", "headless" if args.headless else "no display or no highgui module", file=sys.stderr)
    catch_interrupt()

    frames = cuts = compared = 0
    raw_change = steady_change = common = ranking_time = 0.0
    raw_before, steady_before, lap = set(), set(), None
    start = last = time.perf_counter()
    total = min(count, args.frames) if args.frames and count else args.frames or count
    with Sink(args.output, rate) as sink, Progress("frame", total) as p:
        for frame in source:
            before = time.perf_counter()
            ranking = ranker.rank(frame)
            ranking_time += time.perf_counter() - before
            begins = steady.update(frame, ranking)
            raw, kept = set(map(int, ltrp.selectPatches(ranking, params))), set(map(int, steady.getKept()))
            frames += 1
            if begins:
                cuts += frames > 1
            else:
                compared += 1
                raw_change += len(raw - raw_before) / len(kept)
                steady_change += len(kept - steady_before) / len(kept)
                common += len(raw & kept) / len(kept)
            now = time.perf_counter()
            lap, last = now - last if lap is None else 0.9 * lap + 0.1 * (now - last), now
            view = draw_view(frame, ranking, steady.getRanking().scores, sorted(kept),
                             f"{1 / lap:5.1f} frames/s   {len(kept)} of {ranking.scores.size} patches   "
                             f"new: {100 * len(kept - steady_before) / len(kept):.0f} %")
            sink.write(view)
            raw_before, steady_before = raw, kept
            if window:
                try:
                    cv2.imshow("ltrp", view)
                    if cv2.waitKey(1) & 0xff in (27, ord("q")):
                        break
                except cv2.error:   # headless builds have these functions without an implementation
                    window = False
            p.step(frames)
            if interrupted() or frames == args.frames:
                break
        sink.finish()
    if frames == 0:
        raise RuntimeError(f"{args.input}: no frame could be read")
    print(f"{frames} frames, {cuts} cuts, {frames / (time.perf_counter() - start):.1f} frames/s, "
          f"{1000 * ranking_time / frames:.1f} ms of each to rank")
    if compared:
        print(f"kept patches that change per frame: {100 * raw_change / compared:.1f} % each frame by itself, "
              f"{100 * steady_change / compared:.1f} % steady")
        print(f"of each frame's own choice the steady one holds {100 * common / compared:.1f} %")
    return INTERRUPTED if interrupted() else 0


if __name__ == "__main__":
    sys.exit(run(main))
