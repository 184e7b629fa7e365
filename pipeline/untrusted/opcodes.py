"""A pickle's instructions looked through before any is obeyed: only those that plain data need, and in sound numbers.

The C unpickler obeys whatever stands there: nine bytes make it take 16 GB for its memo, and a tuple nested a million
deep crashes it. Here nothing is built; a count or two is kept. Looking takes longer than loading, so it ends after the
first `MOST` instructions: a model has a few thousand, the pickle of Human3.6M millions. What stands behind them is held
by the limits of the process that reads (`actionpose.isolated`).
"""

from __future__ import annotations

import mmap
import pickle

MOST = 100_000

MAX_MARKS = 60
"""Containers that may be open at a time."""

MAX_TUPLES = 60
"""Tuples in a row of which none is used by anything but the next."""

_FIXED = {
    0: b".(012NRabd}el]stu)\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94",
    1: b"\x80Khq",
    2: b"M",
    4: b"Jjr",
    8: b"G\x95",
}
"""Bytes of the argument → instructions."""

_COUNTED = {1: b"UC\x8c\x8a", 4: b"TBX\x8b", 8: b"\x8e\x8d\x96"}
"""Bytes of the length that stands before the argument → instructions."""

_LINES = {1: b"FILSVgp", 2: b"c"}
"""Lines of the argument → instructions."""

_UNKNOWN, _LINE = -100, -50
_STEP = [_UNKNOWN] * 256
"""Instruction → bytes of its argument; minus the bytes of its length; or one of the two above."""
for _size, _ops in _FIXED.items():
    for _op in _ops:
        _STEP[_op] = _size
for _size, _ops in _COUNTED.items():
    for _op in _ops:
        _STEP[_op] = -_size
for _size, _ops in _LINES.items():
    for _op in _ops:
        _STEP[_op] = _LINE - _size

_MARK, _STOP, _PUT = b"(.p"
_PUTS = frozenset(b"qr")
_TUPLES = frozenset(b"\x85\x86\x87t")
_CLOSING = frozenset(b"tdleu\x90\x911")
_USING = frozenset(b"Rbasue\x81")
_WATCHED = _PUTS | _TUPLES | _CLOSING | _USING | {_MARK, _STOP}


class Strange(pickle.UnpicklingError):
    """Instructions that no pickle of plain data has."""


def check(data: bytes | mmap.mmap) -> None:
    """Look through a pickle.

    Args:
        data: the pickle; what follows its end is not looked at.

    Raises:
        Strange: cut short, an instruction that plain data do not need, or numbers beyond all measure.
    """
    steps, watched = _STEP, _WATCHED
    size, at = len(data), 0
    number = marks = tuples = 0
    while at < size and number < MOST:
        op = data[at]
        at += 1
        number += 1
        step = steps[op]
        if step >= 0:
            if op in watched:
                if op in _PUTS:
                    _check_memo(int.from_bytes(data[at : at + step], "little"), number)
                elif op == _STOP:
                    return
                else:
                    marks += (op == _MARK) - (op in _CLOSING)
                    tuples = tuples + 1 if op in _TUPLES else 0 if op in _USING else tuples
                    if marks > MAX_MARKS or tuples > MAX_TUPLES:
                        raise Strange("its containers are nested too deeply")
            at += step
        elif step > _LINE:
            at -= step
            at += int.from_bytes(data[at + step : at], "little")
        elif step == _UNKNOWN:
            raise Strange(f"it has the instruction {bytes((op,))!r}, which plain data do not need")
        else:
            for _ in range(_LINE - step):
                begin, at = at, data.find(b"\n", at) + 1
                if not at:
                    raise Strange("it is cut short")
            if op == _PUT:
                _check_memo(int(data[begin : at - 1][:20]), number)
    if at >= size:
        raise Strange("it is cut short")


def _check_memo(index: int, number: int) -> None:
    """Every thing noted needs an instruction that made it."""
    if index > number:
        raise Strange(f"it notes its {number:,}th instruction under {index:,}")
