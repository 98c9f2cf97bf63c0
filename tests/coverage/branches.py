#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Runs suites of a test program and prints which branches of the sources compiled for coverage they take.

What the processes that the tests start take counts too. A branch is one outcome of a condition of the source; what a compiler adds
(exceptions, destructors) is none. Of a function template the outcomes of all its instances count together.
Exit status 1 when a suite fails or the share of branches is below --least.
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile


def measured(options, folder):
    """Files of llvm-cov's report after the suites have run."""
    environment = dict(os.environ, LLVM_PROFILE_FILE=os.path.join(folder, '%p.profraw'), LTRP_MEASURED_TOOL=options.tool)
    for suite in options.suites:
        command = [options.program, '--run_test=' + suite, '--log_level=error', '--report_level=no']
        if subprocess.run(command, env=environment).returncode != 0:
            sys.exit('the suite %s fails' % suite)
    merged = os.path.join(folder, 'all.profdata')
    profiles = glob.glob(os.path.join(folder, '*.profraw'))   # a killed process leaves none, or an empty one
    subprocess.run([options.llvm_profdata, 'merge', '-o', merged] + [name for name in profiles if os.path.getsize(name)], check=True)
    text = subprocess.run([options.llvm_cov, 'export', '--instr-profile', merged, options.program], check=True,
                          stdout=subprocess.PIPE).stdout
    return outcomes(json.loads(text)['data'][0]['functions'], os.path.realpath(options.sources) + os.sep)


def outcomes(functions, sources):
    """{file: {place: [how often true, how often false]}}; a place is the position of a condition; in a
    macro the position of its use comes first."""
    files, macros = {}, set()
    for function in functions:
        expansions = {region[6]: region for region in function['regions'] if region[7] == 1}
        for line, column, _, _, true, false, file, *_ in function['branches']:
            place = (line, column)
            while file in expansions:
                place, file = tuple(expansions[file][:2]) + place, expansions[file][5]
            path = os.path.realpath(function['filenames'][file])
            if not path.startswith(sources) or os.path.dirname(path[len(sources):]) not in ('io', 'train'):
                continue
            counts = files.setdefault(path[len(sources):], {}).setdefault(place, [0, 0])
            counts[0] += true
            counts[1] += false
            if true or false:
                macros.add(place[2:])
    # The "do ... while (0)" of a macro is not a condition: it is never both true and false.
    return {name: {place: counts for place, counts in branches.items() if len(place) == 2 or place[2:] in macros}
            for name, branches in sorted(files.items())}


def missing(branches):
    """Missing outcomes: line:column, T (never true) or F (never false)."""
    return ['%d:%d%s' % (place[:2] + (which,)) for place, counts in sorted(branches.items())
            for which, count in zip('TF', counts) if count == 0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--llvm-cov', default='llvm-cov')
    parser.add_argument('--llvm-profdata', default='llvm-profdata')
    parser.add_argument('--sources', required=True, help='folder of the sources')
    parser.add_argument('--least', type=float, default=0, help='share in percent that is enough')
    parser.add_argument('--tool', required=True, help='the measured tool, which takes the place of the tool in the tests')
    parser.add_argument('program')
    parser.add_argument('suites', nargs='+')
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix='ltrp-coverage-') as folder:
        files = measured(options, folder)
    count = covered = 0
    for name, branches in files.items():
        left, both = missing(branches), 2 * len(branches)
        count, covered = count + both, covered + both - len(left)
        print('%-28s %5d of %5d branches  %5.1f %%' % (name, both - len(left), both, 100.0 * (both - len(left)) / both))
        if left:
            print('    not taken: ' + ' '.join(left))
    if not count:
        sys.exit('no branch was found')
    print('%-28s %5d of %5d branches  %5.1f %%' % ('all', covered, count, 100.0 * covered / count))
    return 0 if 100.0 * covered >= options.least * count else 1


if __name__ == '__main__':
    sys.exit(main())
