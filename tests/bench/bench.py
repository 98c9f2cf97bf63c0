#!/usr/bin/env python3
"""Times ltrp and what people would use instead, on the same weights and photos, in turns, in one run.

Before anything is timed, all have to give the same scores. Times are medians over rounds; a ratio below 1 means that
ltrp takes less time. `tests/bench/run` builds what this needs and calls it.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import rows  # the other modules want packages, which --help and --list do without

ALL_PEERS = ("onnxruntime", "openvino", "opencv", "pytorch", "numpy")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=["*"], metavar="ROW",
                        help="names, patterns (ranker-*-b1-fp32) or beginnings (select); default: all")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("--bin", type=Path, help="folder of ltrp_bench and ltrp")
    parser.add_argument("--peers", nargs="*", choices=ALL_PEERS, default=list(ALL_PEERS), help="default: all")
    parser.add_argument("--against", type=Path, metavar="F",
                        help="the ltrp_bench of another build, as one more peer (not in rank-folder)")
    parser.add_argument("--threads", type=int, default=2, help="threads everyone gets (2)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of measuring (7)")
    parser.add_argument("--quick", action="store_true", help="one short round of each: does everything work?")
    parser.add_argument("--photos", type=int, default=500, help="photos in the folder of rank-folder (500)")
    parser.add_argument("--json", type=Path, metavar="F", help="write the results to a file")
    options = parser.parse_args()
    if options.threads < 1 or options.rounds < 1 or options.photos < 1:
        parser.error("--threads, --rounds and --photos take numbers from 1 on")
    if not options.list and options.bin is None:
        parser.error("--bin is needed: the folder where ltrp_bench and ltrp were built")
    try:
        options.chosen = rows.chosen(options.rows)
    except ValueError as error:
        parser.error(str(error))
    return options


def run_rows(options: argparse.Namespace, folder: Path) -> tuple[list[dict], bool]:
    """Results of the rows that were finished, and whether all were."""
    from measure import Options, measure, progress
    from report import machine
    from setting import Setting

    limits = Options(1 if options.quick else options.rounds, 0.1 if options.quick else 0.5, options.threads)
    results: list[dict] = []
    setting = Setting(folder, options.bin.resolve(), options.threads, options.peers,
                      options.against and options.against.resolve())
    photo_count = min(options.photos, 24) if options.quick else options.photos
    try:
        for number, row in enumerate(options.chosen):
            progress(f"[{number + 1}/{len(options.chosen)}] {row.name}")
            if row.kind == "folder":
                row = replace(row, images=photo_count)
            results.append(dict(measure(row, setting, limits), machine=machine()))
    except KeyboardInterrupt:
        progress("stopped; these rows were finished:")
        return results, False
    finally:
        setting.close()
    return results, True


def write_json(path: Path, results: list[dict]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(results, indent=1) + "\n")
    part.replace(path)


def main() -> int:
    options = arguments()
    if options.list:
        print("\n".join(row.name for row in options.chosen))
        return 0

    import report
    from workers import Unavailable

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"note: something else is running here (load {load:.1f}); ratios will scatter more", file=sys.stderr)
    try:
        with tempfile.TemporaryDirectory(prefix="ltrp-bench-") as folder:
            results, complete = run_rows(options, Path(folder))
    except KeyboardInterrupt:
        return 130
    except (Unavailable, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    versions: dict[str, str] = {}
    for result in results:
        versions.update({name: text for name, text in result["versions"].items() if not name.startswith(text)})
    if not results:
        return 130
    rounds = results[0]["rounds"]
    how = f"{options.threads} threads, {rounds} rounds, medians; load at the start {load:.1f}"
    print(report.heading(how, versions))
    print()
    print(report.table(results))
    print()
    print(report.remarks(results))
    if options.json:
        write_json(options.json, results)
    return 0 if complete else 130


if __name__ == "__main__":
    sys.exit(main())
