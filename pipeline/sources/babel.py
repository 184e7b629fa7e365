"""BABEL: read its JSON, decide what each label means, find the "transit from A to B"."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from actionpose.characters import writable
from actionpose.errors import UserError
from actionpose.schema import TRANSITION_PREFIX
from actionpose.sniff import refuse_no_data
from pipeline.config import PairConfig
from pipeline.sources import facts

TRANSITION = "transition"
"""BABEL's text for "between two actions"; the text is tested, not the category (formats, section 4.3)."""

UNWRITABLE = "label holds characters that cannot be written"
"""JSON can spell a NUL character and half a surrogate pair; neither HDF5 nor UTF-8 has them."""

LONGEST_S = 1e6
"""Seconds; eleven days. A time beyond it is not a time."""

_DOWNLOAD = "download babel_v1.0_release from the BABEL site and point --babel at the folder with train.json"


@dataclass(frozen=True, kw_only=True)
class Label:
    """One label of one sequence; times in seconds by the clock of the file's stored rate.

    `number` is its place in the file and makes ids; `text` is what is used, `raw` what the annotator typed. A label
    that holds characters no file of ours can hold has no text; `flaw` says so.
    """

    number: int
    text: str
    raw: str
    act_cat: tuple[str, ...]
    start_s: float
    end_s: float
    seg_id: str
    whole: bool = False
    flaw: str = ""

    @property
    def is_transition(self) -> bool:
        """Whether this is BABEL's bare `transition`."""
        return self.text == TRANSITION


@dataclass(frozen=True, kw_only=True)
class LabelledSequence:
    """One BABEL sequence: which motion, how long, and its labels in order of time."""

    sid: str
    split: str
    feat_p: str
    duration_s: float
    labels: tuple[Label, ...]
    from_frames: bool
    note: str = ""


# --- reading ----------------------------------------------------------------------------------


def babel_files(folder: Path, config: PairConfig) -> list[tuple[str, Path]]:
    """(split, file) for every file the settings ask for.

    Raises:
        UserError: a folder or file that is not there; the split `test`, whose labels are withheld.
    """
    if "test" in config.splits:
        raise UserError(
            "pairs.splits names 'test', but BABEL withholds the labels of test.json: all of them are null",
            "use train and val",
        )
    names = [(split, f"{prefix}{split}.json") for split in config.splits for prefix in ("", "extra_")]
    wanted = [(split, folder / name) for split, name in names if config.extra or not name.startswith("extra_")]
    for _, path in wanted:
        if not path.is_file():
            here = [split for split, other in wanted if other.is_file() and other != path]
            alone = f"; to use {', '.join(f'{s}.json' for s in here)} alone: -o 'pairs.splits={json.dumps(here)}'"
            raise UserError(f"there is no {path}", _DOWNLOAD + (alone if here else ""))
    return wanted


def read_file(path: Path) -> dict[str, Any]:
    """The file's JSON object, sequence id → annotation.

    Raises:
        UserError: a web page, cut short, or not BABEL.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text)
        _check_ids(data)
    except (ValueError, RecursionError) as error:  # a number of 5000 digits, a thousand brackets
        refuse_no_data(path, _DOWNLOAD)
        raise UserError(f"{path} is damaged ({error})", _DOWNLOAD) from error
    first = next(iter(data.values()), None) if isinstance(data, dict) else None
    if not isinstance(first, dict) or "feat_p" not in first:
        alone = "if all that was imported is one person's, use the other split alone: -o 'pairs.splits=[\"train\"]'"
        hint = alone if data == {} else _DOWNLOAD
        raise UserError(f"{path} is not a BABEL file: no sequences with 'feat_p' in it", hint)
    return data


def _check_ids(data: object) -> None:
    """Ids end up in manifests, so they must be text that can be written; half a surrogate pair cannot."""
    for sid in data if isinstance(data, dict) else ():
        sid.encode("utf-8")


class Place(NamedTuple):
    """Where an annotation is in its file, in bytes, and the motion that it is of."""

    begin: int
    length: int
    feat_p: str


def entry_places(path: Path, block: int = 1 << 16) -> dict[str, Place]:
    """Sequence id → place of its annotation; the file is checked whole, but never held whole.

    Raises:
        UserError: see `read_file`.
    """
    try:
        places = dict(_entries(path, block))
        _check_ids(places)
        return places
    except (ValueError, RecursionError) as error:
        read_file(path)  # says better what is wrong with it
        raise UserError(f"{path} is not a BABEL file: {error}", _DOWNLOAD) from error


def _entries(path: Path, block: int) -> Iterator[tuple[str, Place]]:
    utf8 = codecs.getincrementaldecoder("utf-8")()
    # `before` counts the bytes before the character `at` of the text at hand.
    text, at, before, first, more = "", 0, 0, True, True
    with open(path, "rb") as handle:
        while True:
            found = _entry_at(text, at, first=first)
            if found is not None:
                sid, start, stop, feat_p = found
                begin, length = before + len(text[at:start].encode()), len(text[start:stop].encode())
                yield sid, Place(begin, length, feat_p)
                at, before, first = stop, begin + length, False
            elif more:
                # As much again as is at hand: a long entry is looked at a few times, not once for every block.
                fresh = handle.read(max(block, len(text) - at))
                more = bool(fresh)
                text, at = text[at:] + utf8.decode(fresh, final=not more), 0
            elif first or not _END.match(text, at):
                raise ValueError("cut short, or no JSON object of annotations")
            else:
                return


_ENTRY = re.compile(r'\s*([{,])\s*(?=")')
_COLON = re.compile(r"\s*:\s*")
_END = re.compile(r"\s*\}\s*\Z")
_JSON = json.JSONDecoder()


def _entry_at(text: str, at: int, *, first: bool) -> tuple[str, int, int, str] | None:
    """Id, first character, one past the last and `feat_p` of the entry at a place; None when it is not whole."""
    head = _ENTRY.match(text, at)
    if head is None or (head[1] == "{") is not first:
        return None
    try:
        sid, stop = _JSON.raw_decode(text, head.end())
        if (colon := _COLON.match(text, stop)) is None:
            return None
        entry, stop = _JSON.raw_decode(text, colon.end())
    except json.JSONDecodeError:
        return None
    if stop == len(text):  # a number may go on
        return None
    if first and not (isinstance(entry, dict) and "feat_p" in entry):
        raise ValueError("no sequences with 'feat_p' in it")
    return sid, colon.end(), stop, str(entry.get("feat_p", "")) if isinstance(entry, dict) else ""


def read_entry(path: Path, place: Place) -> dict[str, Any]:
    """One annotation, from where `entry_places` found it."""
    with open(path, "rb") as handle:
        handle.seek(place.begin)
        return json.loads(handle.read(place.length))


def parse_sequence(sid: str, split: str, entry: dict[str, Any], config: PairConfig) -> Iterator[LabelledSequence]:
    """One sequence for each annotator: one in the ordinary files, several in the `extra_` files.

    Raises:
        UserError: a field of the wrong type, by name.
    """
    try:
        _writable(sid)
        duration = _seconds(entry, "dur")
        feat_p = _writable(str(entry["feat_p"]))
        frames = _annotations(entry, "frame_ann")
        sequences = _annotations(entry, "seq_ann")
        for number in range(max(len(frames), len(sequences), 1)):
            frame = frames[number] if number < len(frames) else None
            whole = sequences[number] if number < len(sequences) else None
            labels, note = _labels(frame, whole, duration, config, offset=1000 * number)
            yield LabelledSequence(
                sid=sid,
                split=split,
                feat_p=feat_p,
                duration_s=duration,
                labels=labels,
                from_frames=frame is not None,
                note=note,
            )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"BABEL sequence {sid} ({split}) cannot be read: {type(error).__name__} {error}") from error


def _annotations(entry: dict[str, Any], name: str) -> list[dict[str, Any]]:
    several = entry.get(f"{name}s")
    found = several if several is not None else [entry.get(name)]
    return [annotation for annotation in found if annotation is not None]


def _labels(
    frame: dict[str, Any] | None,
    whole: dict[str, Any] | None,
    duration: float,
    config: PairConfig,
    offset: int,
) -> tuple[tuple[Label, ...], str]:
    if frame is not None:
        labels = [_label(data, config, offset + n, duration, False) for n, data in enumerate(frame["labels"])]
        return tuple(sorted(labels, key=lambda label: (label.start_s, label.end_s, label.number))), ""
    if whole is None:
        return (), "no labels"
    if not config.sequence_labels:
        return (), "sequence labels not used"
    if len(whole["labels"]) != 1:
        return (), "several sequence labels and no frame labels"
    return (_label(whole["labels"][0], config, offset, duration, True),), ""


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name) or ""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, not text")
    return value


def _writable(text: str) -> str:
    if writable(text) != text:
        raise ValueError(f"{writable(text)[:60]} holds characters that cannot be written")
    return text


def _seconds(data: dict[str, Any], name: str) -> float:
    value = float(data[name])
    if not abs(value) <= LONGEST_S:  # also what is not a number
        raise ValueError(f"{name} is {value} s")
    return value


def _label(data: dict[str, Any], config: PairConfig, number: int, duration: float, whole: bool) -> Label:
    given, proc = _text(data, "raw_label"), _text(data, "proc_label")
    raw, flaw = writable(given), "" if writable(given + proc) == given + proc else UNWRITABLE
    chosen = proc if config.text == "proc" else raw
    # A bare transition is recognised by its proc text, whichever text is used.
    text = (
        TRANSITION
        if proc.strip() == TRANSITION
        else facts.label_text(chosen or raw, raw if config.text == "proc" else "")
    )
    text = "" if flaw else text
    start, end = (0.0, duration) if whole else (_seconds(data, "start_t"), _seconds(data, "end_t"))
    return Label(
        number=number,
        text=text,
        raw=raw,
        act_cat=tuple(writable(str(category)) for category in data.get("act_cat") or ()),
        start_s=min(start, end),
        end_s=max(start, end),
        seg_id=writable(str(data.get("seg_id", ""))),
        whole=whole,
        flaw=flaw,
    )


# --- transitions ------------------------------------------------------------------------------


def before(transition: Label, labels: Sequence[Label], tolerance_s: float) -> list[Label]:
    """Labels that can be A, the chosen one first.

    A starts before the transition, and ends within it or at most `tolerance_s` before it. Of several: the latest
    end, then the latest start, then the order in the file (formats, section 4.7).
    """
    s, u = transition.start_s, transition.end_s
    found = [a for a in labels if not a.is_transition and a.start_s < s and s - tolerance_s <= a.end_s <= u]
    return sorted(found, key=lambda a: (-a.end_s, -a.start_s, a.number))


def after(transition: Label, labels: Sequence[Label], tolerance_s: float) -> list[Label]:
    """Labels that can be B, the chosen one first.

    B starts within the transition or at most `tolerance_s` after it, and ends after it. Of several: the earliest
    start, then the earliest end, then the order in the file.
    """
    s, u = transition.start_s, transition.end_s
    found = [b for b in labels if not b.is_transition and s <= b.start_s <= u + tolerance_s and b.end_s > u]
    return sorted(found, key=lambda b: (b.start_s, b.end_s, b.number))


def transition_text(a: str, b: str) -> str:
    """The paper's template."""
    return f"{TRANSITION_PREFIX}{a} to {b}"
