#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Runs suites of a test program and prints which branches of the sources compiled for coverage they take.

A branch is one outcome of a condition of the source; what a compiler adds (exceptions, destructors) is none.
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
    environment = dict(os.environ, LLVM_PROFILE_FILE=os.path.join(folder, '%p.profraw'))
    for suite in options.suites:
        command = [options.program, '--run_test=' + suite, '--log_level=error', '--report_level=no']
        if subprocess.run(command, env=environment).returncode != 0:
            sys.exit('the suite %s fails' % suite)
    merged = os.path.join(folder, 'all.profdata')
    profiles = glob.glob(os.path.join(folder, '*.profraw'))   # a process that was killed leaves none, or an empty one
    subprocess.run([options.llvm_profdata, 'merge', '-o', merged] + [name for name in profiles if os.path.getsize(name)], check=True)
    text = subprocess.run([options.llvm_cov, 'export', '--instr-profile', merged, options.program], check=True,
                          stdout=subprocess.PIPE).stdout
    sources = os.path.realpath(options.sources) + os.sep
    return sorted((os.path.realpath(file['filename'])[len(sources):], file) for file in json.loads(text)['data'][0]['files']
                  if os.path.realpath(file['filename']).startswith(sources) and file['filename'].endswith('.cpp'))


def missing(file):
    """Where which outcome is missing: line:column, T (never true) or F (never false)."""
    return ' '.join('%d:%d%s' % (branch[0], branch[1], 'TF'[outcome]) for branch in file['branches'] for outcome in (0, 1)
                    if branch[4 + outcome] == 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--llvm-cov', default='llvm-cov')
    parser.add_argument('--llvm-profdata', default='llvm-profdata')
    parser.add_argument('--sources', required=True, help='folder of the sources')
    parser.add_argument('--least', type=float, default=0, help='share in percent that is enough')
    parser.add_argument('program')
    parser.add_argument('suites', nargs='+')
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix='ltrp-coverage-') as folder:
        files = measured(options, folder)
    count = covered = 0
    for name, file in files:
        branches = file['summary']['branches']
        count, covered = count + branches['count'], covered + branches['covered']
        print('%-28s %5d of %5d branches  %5.1f %%' % (name, branches['covered'], branches['count'], branches['percent']))
        if branches['notcovered']:
            print('    not taken: ' + missing(file))
    if not count:
        sys.exit('no branch was found')
    print('%-28s %5d of %5d branches  %5.1f %%' % ('all', covered, count, 100.0 * covered / count))
    return 0 if 100.0 * covered >= options.least * count else 1


if __name__ == '__main__':
    sys.exit(main())
