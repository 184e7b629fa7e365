"""Files of MPI-INF-3DHP, recognised by content: P-STMO's two npz and the official test annotations become videos.

Copies in circulation differ in the spelling of keys, in types and in the shape of `valid`; whatever can be meant by
only one thing is read. Everything else is refused with what it is and what to get.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from actionpose import isolated
from actionpose.errors import UserError
from actionpose.shard_checks import own_member
from actionpose.sniff import refuse_wrong_content
from pipeline.pack.benchmark import Rejected, Unfit
from pipeline.sources.facts import table
from pipeline.untrusted.holders import as_array
from pipeline.untrusted.npz import NpzError, open_npz
from pipeline.untrusted.pickles import load_objects

Split = Literal["train", "test"]
OFFICIAL_TEST = "official-test-mat"

_MEMBERS_2D = ("data_2d", "pose_2d", "pose2d", "annot2")
_MEMBERS_3D = ("data_3d", "pose_3d", "pose3d", "univ_annot3", "annot3")
_MEMBERS_VALID = ("valid", "valid_frame", "valid_frames")


@dataclass(frozen=True, kw_only=True, eq=False)
class Video:
    """One video of one camera, as the file has it.

    Attributes:
        name: `S1_Seq1` or `TS1`.
        camera: its number as text; empty in the test set.
        fps: as stored; 0 when the file does not say.
        pose2d: (n, 17, 2) pixels.
        pose3d: (n, 17, 3), camera frame, in the unit of the file.
        valid: (n,) frames that may be scored, or None.
    """

    name: str
    camera: str
    fps: float
    pose2d: NDArray[Any]
    pose3d: NDArray[Any]
    valid: NDArray[np.bool_] | None

    @property
    def motion_id(self) -> str:
        """As shards name it."""
        return f"3dhp/{self.name}_cam{self.camera}" if self.camera else f"3dhp/{self.name}"

    @property
    def subject(self) -> str:
        """`S1`, `TS1`."""
        return self.name.partition("_")[0]

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(n,) frames that may be scored: all where the file does not say."""
        return self.valid if self.valid is not None else np.ones(len(self.pose3d), dtype=bool)


@dataclass(frozen=True, kw_only=True, eq=False)
class Contents:
    """What a file holds: its layout, one split, its videos in order of name and camera, and the unusable ones."""

    path: Path
    layout: str
    split: Split
    videos: tuple[Video, ...]
    rejected: tuple[Rejected, ...]


def source() -> str:
    """Where the files come from, for hints."""
    return str(table("mpi_inf_3dhp")["source"])


def read_contents(path: Path) -> Contents:
    """Read a file, whatever its name.

    Raises:
        UserError: not a file of this dataset, damaged, or one that has to be converted first; says what to do.
    """
    refuse_wrong_content(path, source(), pickled=f"files of MPI-INF-3DHP are npz; {source()}")
    with open(path, "rb") as handle:
        head = handle.read(520)
    if head.startswith(b"MATLAB") or head[512:516] == b"\x89HDF" or head.startswith(b"\x89HDF"):
        return _read_matlab(path, old=head.startswith(b"MATLAB 5"))
    return _read_npz(path)


# --- npz --------------------------------------------------------------------------------------


def _read_npz(path: Path) -> Contents:
    try:
        with open_npz(path) as archive:
            name = _object_member(path, archive.names)
            header = archive.header(name)
    except (NpzError, KeyError) as error:
        raise UserError(f"{path} cannot be read ({error})", f"download it again: {source()}") from error
    if not header.dtype.hasobject:
        raise UserError(f"{path}: {name} is {header.dtype} {header.shape}, not a dictionary of videos", source())
    data = load_objects(path, name)
    data = _unwrapped(data)
    if not isinstance(data, Mapping) or not data:
        raise UserError(f"{path}: {name} holds {_kind(data)}, not a dictionary of videos", source())
    return _from_mapping(path, data)


def _object_member(path: Path, names: frozenset[str]) -> str:
    """The member that holds the dictionary."""
    if "data" in names:
        return "data"
    if {"positions_3d"} & names or {"positions_2d"} & names:
        raise UserError(f"{path} is a Human3.6M file of VideoPose3D, not MPI-INF-3DHP", "ap-data build-h36m --h36m DIR")
    if "imgname" in names:
        raise UserError(
            f"{path} lists single pictures (imgname), as mmpose and SPIN have them: no videos to lift", source()
        )
    if {"poses", "trans"} <= names:
        raise UserError(f"{path} is a motion of AMASS, not MPI-INF-3DHP", "it belongs to --amass")
    if len(names) == 1:
        return next(iter(names))
    raise UserError(f"{path} has no member 'data'; it has {', '.join(sorted(names)[:8]) or 'nothing'}", source())


def _unwrapped(value: Any) -> Any:
    """The thing inside an array of one object."""
    while isinstance(value, np.ndarray) and value.dtype.hasobject and value.size == 1:
        value = value.reshape(-1)[0]
    return value


def _kind(value: Any) -> str:
    return "nothing" if value is None or not np.size(value) else f"a {type(value).__name__}"


def _from_mapping(path: Path, data: Mapping[Any, Any]) -> Contents:
    names = {key: _video_name(key) for key in data}
    splits = {"test" if name.startswith("TS") else "train" for name in names.values() if name}
    if len(splits) != 1:
        shown = ", ".join(str(key) for key in list(data)[:4])
        what = "training and test videos mixed" if splits else "no videos of MPI-INF-3DHP"
        raise UserError(f"{path} has {what}: its keys are {shown}", source())
    split: Split = "test" if "test" in splits else "train"
    found: list[Video | Rejected] = []
    for key, name in sorted(names.items(), key=lambda item: _natural(item[1] or str(item[0]))):
        if name:
            found += _test_videos(name, data[key]) if split == "test" else _train_videos(name, data[key])
        else:
            found.append(Unfit("unknown key", "not the name of a sequence").rejected(f"3dhp/{key}"))
    return _contents(path, f"pstmo-{split}-npz", split, found)


def _contents(path: Path, layout: str, split: Split, found: Iterable[Video | Rejected]) -> Contents:
    videos, rejected = [], []
    for one in found:
        if isinstance(one, Video):
            videos.append(one)
        else:
            rejected.append(one)
    return Contents(path=path, layout=layout, split=split, videos=tuple(videos), rejected=tuple(rejected))


def _natural(name: str) -> tuple[Any, ...]:
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name))


def _video_name(key: Any) -> str:
    """`S1_Seq1` or `TS1` from however a key spells it; empty when it is neither."""
    plain = re.sub(r"[\W_]+", "", str(_text(key))).lower()
    if match := re.fullmatch(r"ts0*(\d+)", plain):
        return f"TS{match[1]}"
    match = re.fullmatch(r"s(?:ubject)?0*(\d+)seq(?:uence)?0*(\d+)", plain)
    return f"S{match[1]}_Seq{match[2]}" if match else ""


def _text(key: Any) -> Any:
    return key.decode("latin1") if isinstance(key, bytes) else key


def _train_videos(name: str, entry: Any) -> Iterator[Video | Rejected]:
    try:
        cameras, fps = _cameras_and_rate(entry)
    except Unfit as odd:
        yield odd.rejected(f"3dhp/{name}")
        return
    numbers = {key: match[1] for key in cameras if (match := re.search(r"(\d+)\D*$", str(_text(key))))}
    for key in sorted(cameras, key=lambda key: _natural(numbers.get(key, str(key)))):
        try:
            if key not in numbers:
                raise Unfit("unknown key", f"'{key}' is not the name of a camera")
            yield _video(name, str(int(numbers[key])), fps, cameras[key])
        except Unfit as odd:
            yield odd.rejected(f"3dhp/{name}_cam{numbers.get(key, key)}")


def _cameras_and_rate(entry: Any) -> tuple[Mapping[Any, Any], float]:
    """The cameras of a sequence and its rate: [cameras, fps], or the cameras alone."""
    entry = _unwrapped(entry)
    fps: Any = 0.0
    if isinstance(entry, list | tuple) or (isinstance(entry, np.ndarray) and entry.dtype.hasobject):
        parts = [_unwrapped(part) for part in entry]
        found = [part for part in parts if isinstance(part, Mapping)]
        entry, fps = (found[0] if found else None), next((p for p in parts if np.size(p) == 1 and p is not None), 0.0)
        if isinstance(fps, Mapping):
            fps = 0.0
    if not isinstance(entry, Mapping):
        raise Unfit("no cameras", "the entry is not [cameras, frames per second]")
    try:
        return entry, float(np.asarray(fps, dtype=np.float64).reshape(-1)[0])
    except (ValueError, TypeError):
        raise Unfit("no rate", f"the frame rate is {fps!r}") from None


def _test_videos(name: str, entry: Any) -> Iterator[Video | Rejected]:
    try:
        yield _video(name, "", 0.0, entry)
    except Unfit as odd:
        yield odd.rejected(f"3dhp/{name}")


def _video(name: str, camera: str, fps: float, clip: Any) -> Video:
    clip = _unwrapped(clip)
    if not isinstance(clip, Mapping):
        raise Unfit("no clip", f"a {type(clip).__name__} where data_2d and data_3d should be")
    named = {str(_text(key)).lower(): value for key, value in clip.items()}
    pose2d, pose3d = _frames(named, _MEMBERS_2D, 2), _frames(named, _MEMBERS_3D, 3)
    if len(pose2d) != len(pose3d):
        raise Unfit("lengths differ", f"{len(pose2d)} frames of 2D, {len(pose3d)} of 3D")
    valid = _valid(named, len(pose3d))
    return Video(name=name, camera=camera, fps=fps, pose2d=pose2d, pose3d=pose3d, valid=valid)


def _frames(clip: Mapping[str, Any], names: tuple[str, ...], channels: int) -> NDArray[Any]:
    """A member as (n, 17, channels); single dimensions are dropped, flat rows cut into joints, 28 joints thinned."""
    name = next((name for name in names if name in clip), None)
    if name is None:
        raise Unfit("member missing", f"no {names[0]}; there is {', '.join(sorted(clip)) or 'nothing'}")
    try:
        array = as_array(clip[name])
    except (ValueError, TypeError) as error:
        raise Unfit("wrong type", f"{name}: {error}") from None
    shape = array.shape
    if array.dtype.kind not in "fiu" or not shape:
        raise Unfit("wrong type", f"{name} is {array.dtype} {shape}")
    if array.ndim > 3:
        array = array.reshape(len(array), *(length for length in shape[1:] if length != 1))
    if array.ndim == 2 and array.shape[1] in (17 * channels, 28 * channels):
        array = array.reshape(len(array), -1, channels)
    if array.ndim == 3 and array.shape[2] == 3 and channels == 2:
        array = array[..., :2]  # a confidence or a constant 1 after the pixels
    if array.ndim == 3 and array.shape[1:] == (28, channels):
        array = array[:, table("mpi_inf_3dhp")["joints"]["from_28"]]
    if array.ndim != 3 or array.shape[1:] != (17, channels):
        raise Unfit("wrong shape", f"{name} is {shape}, expected (frames, 17, {channels})")
    return array


def _valid(clip: Mapping[str, Any], frames: int) -> NDArray[np.bool_] | None:
    name = next((name for name in _MEMBERS_VALID if name in clip), None)
    if name is None:
        return None
    try:
        flags = as_array(clip[name]).reshape(-1)
    except (ValueError, TypeError) as error:
        raise Unfit("wrong type", f"{name}: {error}") from None
    if len(flags) != frames or flags.dtype.kind not in "fiub":
        raise Unfit("wrong shape", f"{name} is {flags.dtype} {flags.shape}, expected one flag for {frames} frames")
    return np.asarray(flags != 0)


def _read_matlab(path: Path, *, old: bool) -> Contents:
    """One `TSn/annot_data.mat` of the official test set; training files are to be converted."""
    convert = UserError(
        f"{path} is an official training annotation (MATLAB, 28 joints, one file per sequence), not read here", source()
    )
    if old:
        raise convert
    clip = isolated.call("pipeline.mpi3dhp.files:official_members", path)
    if clip is None:
        raise convert
    name = _video_name(path.parent.name) or _video_name(path.stem)
    if not name.startswith("TS"):
        raise UserError(f"{path}: only a folder TS1 to TS6 says which sequence it is", "keep the archive's folders")
    return _contents(path, OFFICIAL_TEST, "test", _test_videos(name, clip))


def official_members(path: Path) -> dict[str, NDArray[Any]] | None:
    """The members of an official test annotation, None when it is none; called in a child process.

    Raises:
        UserError: damaged, or not plain arrays of this very file.
    """
    import h5py

    members = ("annot2", "univ_annot3", "valid_frame")
    try:
        with h5py.File(path, "r") as file:
            return {name: own_member(file, name)[()] for name in members} if set(members) <= set(file) else None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged or cut short ({error})", f"download it again: {source()}") from error
