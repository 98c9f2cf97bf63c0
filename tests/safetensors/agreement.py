#!/usr/bin/env python3
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Compares the tool's safetensors reader with the format's own (PyPI: safetensors): both accept the same files.

    pip install safetensors && tests/safetensors/agreement.py build-dev/bin/ltrp

Differences are listed by name below, each with its reason; any other is an error.
"""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

import safetensors

# Files that one reader rejects and the other accepts.
STRICTER_HERE = {
    'blanks in front': 'the description of the format says that a header begins with a brace',
    'metadata that is null': 'no writer makes it, and it says nothing',
    'a type of 8-bit floats': 'no network that is read here has weights of that type',
    'a type of complex numbers': 'no network that is read here has weights of that type',
    'a key twice in a tensor': 'readers would differ in which one counts',
    'a tensor twice': 'readers would differ in which one counts',
    'metadata twice': 'readers would differ in which one counts',
    'metadata with a key twice': 'readers would differ in which one counts',
    'an unknown key in a tensor': 'nothing in a file is passed over',
}


def pack(header, data=b'', length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack('<Q', len(text) if length is None else length) + text + data


def tensor(begin, end, shape=(2,), dtype='F32'):
    return {'dtype': dtype, 'shape': list(shape), 'data_offsets': [begin, end]}


def corpus():
    two = {'a': tensor(0, 8), 'b': tensor(8, 16)}
    yield 'two tensors', pack(two, bytes(16))
    yield 'metadata', pack({'__metadata__': {'k': 'v'}, **two}, bytes(16))
    yield 'no tensors', pack({})
    yield 'padded with blanks', pack(json.dumps(two).encode() + b'     ', bytes(16))
    yield 'in another order', pack({'b': tensor(8, 16), 'a': tensor(0, 8)}, bytes(16))
    yield 'a scalar', pack({'a': tensor(0, 4, ())}, bytes(4))
    yield 'an empty tensor', pack({'a': tensor(0, 0, (0, 3))})
    yield 'names of all kinds', pack({'\u00e9\U0001f600"\\\n': tensor(0, 8), '': tensor(8, 16)}, bytes(16))
    for dtype, size in dict(BOOL=1, U8=1, I8=1, I16=2, F16=2, BF16=2, I32=4, F32=4, I64=8, F64=8).items():
        yield 'type ' + dtype, pack({'a': tensor(0, 2 * size, (2,), dtype)}, bytes(2 * size))
    yield 'a type of 8-bit floats', pack({'a': tensor(0, 2, (2,), 'F8_E4M3')}, bytes(2))
    yield 'a type of complex numbers', pack({'a': tensor(0, 16, (2,), 'C64')}, bytes(16))
    yield 'no such type', pack({'a': tensor(0, 8, (2,), 'F31')}, bytes(8))
    yield 'type in small letters', pack({'a': tensor(0, 8, (2,), 'f32')}, bytes(8))
    yield 'nothing', b''
    yield 'seven bytes', bytes(7)
    yield 'a length alone', struct.pack('<Q', 0)
    yield 'a length beyond the file', pack(two, bytes(16), 10 ** 6)
    yield 'a length beyond the limit', pack(two, bytes(16), 10 ** 9)
    yield 'the largest length', pack(two, bytes(16), 2 ** 64 - 1)
    yield 'no JSON', pack(b'{not json}', bytes(16))
    yield 'a list', pack(b'[]')
    yield 'a text', pack(b'"a"')
    yield 'blanks in front', pack(b'  ' + json.dumps(two).encode(), bytes(16))
    yield 'no UTF-8', pack(b'{"\xff":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8))
    yield 'a zero byte behind', pack(json.dumps(two).encode() + b'\0', bytes(16))
    yield 'JSON twice', pack(json.dumps(two).encode() * 2, bytes(16))
    yield 'a comma at the end', pack(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],}}', bytes(8))
    yield 'cut data', pack(two, bytes(15))
    yield 'data behind', pack(two, bytes(17))
    yield 'a hole', pack({'a': tensor(0, 8), 'b': tensor(12, 20)}, bytes(20))
    yield 'a hole in front', pack({'a': tensor(4, 12)}, bytes(12))
    yield 'an overlap', pack({'a': tensor(0, 8), 'b': tensor(4, 12)}, bytes(12))
    yield 'the same place', pack({'a': tensor(0, 8), 'b': tensor(0, 8)}, bytes(8))
    yield 'backwards', pack({'a': tensor(8, 0)}, bytes(8))
    yield 'too few bytes for the shape', pack({'a': tensor(0, 4)}, bytes(4))
    yield 'too many bytes for the shape', pack({'a': tensor(0, 12)}, bytes(12))
    yield 'a negative size', pack({'a': tensor(0, 8, (-2,))}, bytes(8))
    yield 'a fractional size', pack({'a': tensor(0, 8, (2.0,))}, bytes(8))
    yield 'a size beyond 64 bits', pack({'a': tensor(0, 8, (2 ** 64,))}, bytes(8))
    yield 'sizes whose product overflows', pack({'a': tensor(0, 8, (2 ** 33, 2 ** 33))}, bytes(8))
    yield 'sizes that overflow to what is there', pack({'a': tensor(0, 8, (2 ** 62, 4, 2))}, bytes(8))
    yield 'a negative offset', pack({'a': tensor(-8, 0)}, bytes(8))
    yield 'one offset', pack({'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0]}}, bytes(8))
    yield 'three offsets', pack({'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8, 8]}}, bytes(8))
    for missing in 'dtype shape data_offsets'.split():
        entry = tensor(0, 8)
        del entry[missing]
        yield 'without ' + missing, pack({'a': entry}, bytes(8))
    yield 'an unknown key in a tensor', pack({'a': dict(tensor(0, 8), more=1)}, bytes(8))
    yield 'a tensor that is a number', pack({'a': 7})
    yield 'metadata that is a list', pack({'__metadata__': ['k'], **two}, bytes(16))
    yield 'metadata that is null', pack({'__metadata__': None, **two}, bytes(16))
    yield 'metadata with a number', pack({'__metadata__': {'k': 1}, **two}, bytes(16))
    yield 'metadata within metadata', pack({'__metadata__': {'k': {}}, **two}, bytes(16))
    yield 'a tensor twice', pack(b'{"a":%s,"a":%s}' % ((json.dumps(tensor(0, 8)).encode(),) * 2), bytes(8))
    yield 'a key twice in a tensor', pack(b'{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8))
    yield 'metadata twice', pack(b'{"__metadata__":{"k":"v"},"__metadata__":{"k":"w"}}')
    yield 'metadata with a key twice', pack(b'{"__metadata__":{"k":"v","k":"w"}}')
    yield 'deep', pack(b'{"a":' + b'[' * 5000 + b']' * 5000 + b'}')
    good = pack({'__metadata__': {'k': 'v'}, **two}, bytes(16))
    for size in range(len(good)):
        yield 'cut at %d' % size, good[:size]
    draw = random.Random(1)
    for number in range(300):
        changed = bytearray(good)
        for _ in range(draw.randint(1, 2)):
            changed[draw.randrange(len(good) - 16)] = draw.randrange(256)
        yield 'bytes changed, %d' % number, bytes(changed)


def theirs(data):
    try:
        safetensors.deserialize(data)
        return True, ''
    except Exception as error:   # whatever exception the extension raises
        return False, str(error)


def ours(tool, path):
    """Whether the container was read, so that the tool went on to search for a network in it."""
    result = subprocess.run([tool, 'info', path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    text = result.stderr.decode(errors='replace')
    if result.returncode not in (0, 1):
        sys.exit('%s: exit status %d\n%s' % (path, result.returncode, text))
    return result.returncode == 0 or 'no known network' in text or "metadata 'ltrp'" in text, text.strip()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    counts, wrong = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name, data in corpus():
            path = os.path.join(folder, 'file.safetensors')
            with open(path, 'wb') as file:
                file.write(data)
            (their, theirText), (our, ourText) = theirs(data), ours(sys.argv[1], path)
            counts[their, our] = counts.get((their, our), 0) + 1
            if their != our and not (their and name in STRICTER_HERE):
                wrong.append('%s: safetensors %s, ltrp %s\n    %s\n    %s' %
                             (name, 'reads it' if their else 'refuses it', 'reads it' if our else 'refuses it', theirText, ourText))
    print('safetensors %s: %d files read by both, %d refused by both, %d refused here alone' %
          (safetensors.__version__, counts.get((True, True), 0), counts.get((False, False), 0), counts.get((True, False), 0)))
    if wrong:
        sys.exit('\n'.join(wrong))


main()
