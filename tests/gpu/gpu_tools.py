"""Tools shared by the scripts of tests/gpu: GPU detection, programs with a time limit, division of time."""

import contextlib
import ctypes
import glob
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable

ROOT = Path(__file__).resolve().parents[2]  # of the project, or of a parcel
NO_GPU = 3


def probe() -> tuple[str, str]:
    """(name of the GPU and version of its driver, "") or ("", why there is none)."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "", "no NVIDIA driver is installed (libcuda.so.1 is not there)"
    status = cuda.cuInit(0)
    count, driver = ctypes.c_int(0), ctypes.c_int(0)
    if status == 0:
        status = cuda.cuDeviceGetCount(ctypes.byref(count))
    if status != 0 or count.value == 0:
        return "", (
            f"the NVIDIA driver shows no device (CUDA error {status})"
            if status
            else "the NVIDIA driver shows no device"
        )
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGetName(name, 255, 0)
    cuda.cuDriverGetVersion(ctypes.byref(driver))
    return f"{name.value.decode()}, driver for CUDA {driver.value // 1000}.{driver.value % 1000 // 10}", ""


def environment() -> dict[str, str]:
    """For the project's programs: lets them find a cuBLASLt that is only in the toolkit or in PyTorch."""
    places = [
        "/usr/local/cuda/lib64",
        "/usr/local/cuda/targets/x86_64-linux/lib",
        *(folder for entry in sys.path if entry for folder in sorted(glob.glob(f"{entry}/nvidia/*/lib"))),
    ]
    found = [place for place in places if glob.glob(f"{place}/libcublasLt.so.*")]
    own = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(([own] if own else []) + found)}


def faulty(folder: Path, programs: tuple[str, ...]) -> str:
    """Reason why the programs in folder/bin cannot be started; empty if they can."""
    for name in programs:
        path = folder / "bin" / name
        if not os.access(path, os.X_OK):
            return f"{folder}: no bin/{name}; it was not built with -DLTRP_WITH_CUDA=ON -DLTRP_BUILD_TESTS=ON"
        status, output = call([path, "--version"], 60)  # whatever its output: only whether it starts counts
        if status is None or status >= 126 or status < 0 or "error while loading shared libraries" in output:
            return f"{path} does not start on this machine: {last_line(output)}"
    return ""


def end(process: subprocess.Popen[str]) -> None:
    """The process and all its child processes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def call(
    command: list[Any],
    limit: float,
    each: Callable[[str], None] | None = None,
    env: dict[str, str] | None = None,
    soft: float = 0,
) -> tuple[int | None, str]:
    """Exit status (None: out of time) and the output so far, including stderr; `each` gets every line at once.

    soft: after so many seconds the program is asked to stop (as by Ctrl-C); what it answers is its own status.
    """
    if limit <= 1:
        return None, "no time was left"
    try:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=env,
            process_group=0,
        )
    except OSError as error:
        return 127, str(error)
    late = threading.Event()

    def stop() -> None:
        late.set()
        end(process)

    timers = [threading.Timer(limit, stop)]
    if soft:
        timers.append(threading.Timer(soft, lambda: process.send_signal(signal.SIGINT)))
    assert process.stdout
    lines = []
    try:
        for timer in timers:
            timer.daemon = True
            timer.start()
        for line in process.stdout:
            lines.append(line)
            if each:
                each(line.rstrip("\n"))
        status = process.wait()
    finally:
        for timer in timers:
            timer.cancel()
        end(process)
        process.wait()
        process.stdout.close()
    output = "".join(lines)
    return (None, f"{output}\nstopped after {limit:.0f} s") if late.is_set() else (status, output)


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "it said nothing"


class Budget:
    """Time for several steps: each has its share of the remaining time when it begins, so that unused time is the
    others'."""

    def __init__(self, seconds: float, shares: dict[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self.shares = clock, dict(shares)
        self.until = clock() + seconds
        self.step_until = self.until

    def begin(self, step: str) -> float:
        """Seconds for the step, which begins now; earlier steps are over."""
        names = list(self.shares)
        rest = sum(self.shares[name] for name in names[names.index(step) :])
        seconds = max(0.0, self.until - self.clock()) * self.shares[step] / rest
        self.step_until = self.clock() + seconds
        return seconds

    def left(self) -> float:
        """Seconds left for the step."""
        return self.step_until - self.clock()
