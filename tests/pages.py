#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Opens HTML pages of the tool (`ltrp plot`, `ltrp eval --report`) in headless Chromium, desktop and phone.

Fails where a page says anything on the console, asks for anything outside itself, or is wider than the window (wide
tables and charts scroll by themselves). Beside each page stand its screenshots, PAGE-WIDTH.png, to look at.

    tests/pages.py report.html runs.html
"""
import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

WINDOWS = [(1400, 3000), (390, 3000)]
PROBE = """<script>addEventListener("load", () => { document.body.dataset.excess =
document.documentElement.scrollWidth - document.documentElement.clientWidth; });</script></body>"""


def chromium(program, page, window, *options):
    # No name is resolved, so that a request fails, and the console says so.
    done = subprocess.run([program, "--headless", "--no-sandbox", "--hide-scrollbars", "--enable-logging=stderr",
                           "--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={window[0]},{window[1]}", *options,
                           page.resolve().as_uri()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=300, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("pages", nargs="+", type=Path, metavar="PAGE", help="an HTML file")
    arguments.add_argument("--chromium", default="chromium", metavar="PROGRAM")
    args = arguments.parse_args()
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        for page in args.pages:
            html = page.read_text()
            outside = re.findall(r"(?:src|href)=(?![\"']?(?:data:|#))[^> ]*|url\([^)]*\)", html)
            faults += [f"{page}: {address[:80]}" for address in outside]
            probed = Path(folder) / "page.html"
            probed.write_text(html.replace("</body>", PROBE))
            for window in WINDOWS:
                picture = page.with_name(f"{page.stem}-{window[0]}.png").resolve()
                _, console = chromium(args.chromium, page, window, f"--screenshot={picture}")
                faults += [f"{page}: {line}" for line in console]
                dom, _ = chromium(args.chromium, probed, window, "--dump-dom")
                excess = re.search(r'data-excess="(-?\d+)"', dom)
                if not excess or int(excess[1]) > 0:
                    faults.append(f"{page}: {excess[1] if excess else 'unknown'} pixels wider than {window[0]}")
                print(picture)
    sys.exit("\n".join(faults) if faults else 0)


if __name__ == "__main__":
    main()
