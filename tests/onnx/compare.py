"""Every case through every runtime, and a table of the largest differences: compare.py CASES VENVS.

A difference is the largest one of any value, divided by the range (highest less lowest) of what the module's own
network gives. The exit status is 1 when one exceeds 1e-4 or a runtime fails; a runtime that is not installed is named.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

LIMIT = 1e-4
# column, module, folder of its Python environment, environment variables
RUNTIMES = [
    ("OpenCV 4.6", "opencv", "opencv-4.6", {}),
    ("OpenCV 4.14", "opencv", "opencv-4.14", {}),
    ("OpenCV 5.0 classic", "opencv", "opencv-5.0", {"OPENCV_FORCE_DNN_ENGINE": "1"}),
    ("OpenCV 5.0 new", "opencv", "opencv-5.0", {"OPENCV_FORCE_DNN_ENGINE": "2"}),
    ("ONNX Runtime", "onnxruntime", "onnxruntime", {}),
    ("OpenVINO", "openvino", "openvino", {}),
]


def ask(python: Path, module: str, case: Path, variables: dict[str, str]) -> dict:
    """A separate process for each, so that a crash affects only one runtime and one case."""
    done = subprocess.run([str(python), str(Path(__file__).with_name("runtime.py")), module, str(case)],
                          capture_output=True, text=True, env={**os.environ, **variables})
    if done.returncode != 0:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        return {"error": f"exit status {done.returncode}: {lines[-1] if lines else ''}"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> int:
    cases = sorted(Path(sys.argv[1]).glob("*.json"))
    present = [runtime for runtime in RUNTIMES if (Path(sys.argv[2]) / runtime[2] / "ok").exists()]
    missing = [runtime[0] for runtime in RUNTIMES if runtime not in present]
    bad, versions, rows = [], {}, []
    for case in cases:
        cells = []
        for column, module, folder, variables in present:
            answer = ask(Path(sys.argv[2]) / folder / "bin" / "python", module, case, variables)
            versions.setdefault(column, answer.get("version", "?"))
            if "error" in answer or not answer["difference"] <= LIMIT:
                bad.append(f"{case.stem}, {column}: {answer.get('error', answer.get('difference'))}")
            cells.append("failed" if "error" in answer else f"{answer['difference']:.1e}")
        rows.append([case.stem, *cells])
        print(f"{case.stem} done", file=sys.stderr)
    print("| case | " + " | ".join(column for column, *_ in present) + " |")
    print("| --- |" + " --- |" * len(present))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print("\nversions: " + ", ".join(f"{column} ({version})" for column, version in versions.items()))
    for column in missing:
        print(f"left out, cannot be installed here: {column}")
    for line in bad:
        print(f"FAILED {line}")
    if not cases or not present:
        print("FAILED nothing was compared")
    return 1 if bad or not cases or not present else 0


if __name__ == "__main__":
    sys.exit(main())
