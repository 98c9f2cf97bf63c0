"""Processes that answer lines of JSON: ltrp_bench and the peers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PEERS_FOLDER = Path(__file__).resolve().parent / "peers"


class Unavailable(Exception):
    """A peer, a precision or a command that is not to be had here; the text says why."""


def environment(threads: int) -> dict[str, str]:
    """Threads that wait must sleep: the processes are all alive while one of them is measured."""
    count = str(threads)
    return dict(os.environ, OMP_NUM_THREADS=count, OPENBLAS_NUM_THREADS=count, MKL_NUM_THREADS=count,
                OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0", KMP_BLOCKTIME="0", PYTHONDONTWRITEBYTECODE="1")


class Worker:
    def __init__(self, name: str, command: list[str], threads: int, log: Path) -> None:
        self.name = name
        self.log = log
        self.version = ""
        with log.open("w") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                            text=True, env=environment(threads), cwd=log.parent)

    @classmethod
    def ours(cls, program: Path, threads: int, folder: Path, name: str = "ltrp") -> "Worker":
        return cls(name, [str(program), "--threads", str(threads)], threads, folder / f"{name.replace(':', '-')}.log")

    @classmethod
    def peer(cls, name: str, threads: int, folder: Path) -> "Worker":
        command = [sys.executable, str(PEERS_FOLDER / "main.py"), name.partition(":")[0], "--threads", str(threads)]
        return cls(name, command, threads, folder / f"{name.replace(':', '-')}.log")

    def ask(self, what: str, **arguments: Any) -> dict:
        try:
            self.process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            status = self.process.wait()
            last = "; ".join(self.log.read_text(errors="replace").splitlines()[-3:])
            raise Unavailable(f"its process ended with status {status} {last}".strip())
        answer = json.loads(line)
        if "error" in answer:
            raise Unavailable(answer["error"].splitlines()[0][:300])
        return answer

    def milliseconds(self, call: dict, repeat: int) -> list[float]:
        return self.ask("time", call=call, repeat=repeat)["ms"]

    def close(self) -> None:
        try:
            self.process.stdin.close()
            self.process.wait(timeout=2)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
