#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Runs suites of a test program and prints which branches of the sources compiled with --coverage they take.

The two ways out of a call, by its end and by an exception, are no branch here: gcov marks the second, both are left out.
Exit status 1 when a suite fails or the share of branches is below --least.
"""
import argparse
import gzip
import json
import os
import subprocess
import sys


def run(program, suites):
    for suite in suites:
        if subprocess.run([program, '--run_test=' + suite, '--log_level=error', '--report_level=no']).returncode != 0:
            sys.exit('the suite %s fails' % suite)


def branches_of(line):
    """Whether each branch of a line was taken."""
    kept = []
    for branch in line['branches']:
        if branch['throw']:
            if kept:
                kept.pop()   # the way out of the same call by its end
        else:
            kept.append(branch['count'] > 0)
    return kept


def merged(reports, sources):
    """{file: {line: [taken, ...]}}; a line of a template stands for all that is made of it."""
    found = {}
    for report in reports:
        for file in report['files']:
            path = os.path.realpath(os.path.join(report['current_working_directory'], file['file']))
            if not path.startswith(sources + os.sep) or not path.endswith('.cpp'):
                continue
            lines = found.setdefault(os.path.relpath(path, sources), {})
            for line in file['lines']:
                taken = branches_of(line)
                known = lines.setdefault(line['line_number'], taken)
                if len(known) == len(taken):
                    lines[line['line_number']] = [a or b for a, b in zip(known, taken)]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--gcov', default='gcov')
    parser.add_argument('--objects', required=True, help='folder of the .gcno files')
    parser.add_argument('--sources', required=True, help='folder of the sources')
    parser.add_argument('--least', type=float, default=0, help='share in percent that is enough')
    parser.add_argument('--missing', action='store_true', help='list the lines with branches that no test takes')
    parser.add_argument('program')
    parser.add_argument('suites', nargs='*')
    options = parser.parse_args()

    notes = [os.path.join(folder, name) for folder, _, names in os.walk(options.objects) for name in names]
    if options.suites:
        for name in notes:
            if name.endswith('.gcda'):
                os.remove(name)
        run(options.program, options.suites)
    notes = sorted(name for name in notes if name.endswith('.gcno'))
    if not notes:
        sys.exit('%s: holds no .gcno file' % options.objects)
    reports = []
    for note in notes:
        out = subprocess.run([options.gcov, '--json-format', '--branch-probabilities', '--stdout', note], check=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        reports += [json.loads(line) for line in (gzip.decompress(out) if out[:2] == b'\x1f\x8b' else out).splitlines() if line]

    total = taken = 0
    found = merged(reports, os.path.realpath(options.sources))
    for name in sorted(found):
        lines = found[name]
        every, some = sum(map(len, lines.values())), sum(map(sum, lines.values()))
        total, taken = total + every, taken + some
        print('%-28s %5d of %5d branches  %5.1f %%' % (name, some, every, 100.0 * some / every if every else 100))
        if options.missing:
            print('    missing: ' + ', '.join('%d (%d)' % (n, len(lines[n]) - sum(lines[n]))
                                              for n in sorted(lines) if not all(lines[n])))
    if not total:
        sys.exit('no branch was found')
    share = 100.0 * taken / total
    print('%-28s %5d of %5d branches  %5.1f %%' % ('all', taken, total, share))
    return 0 if share >= options.least else 1


if __name__ == '__main__':
    sys.exit(main())
