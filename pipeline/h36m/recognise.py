"""Which file of Human3.6M is it, and what does it permit: recognised by content, never by name.

The same name is used for different things, and the same thing has many names.
"""

from __future__ import annotations

from pathlib import Path

from actionpose.errors import UserError
from actionpose.files import sha256_file
from actionpose.sniff import content_of, first_bytes, refuse_no_data
from pipeline.h36m import motionbert, videopose3d
from pipeline.h36m.extrinsics import FORMS, camera_form
from pipeline.pack.benchmark import BenchmarkFile
from pipeline.untrusted.npz import NpzError, open_npz
from pipeline.untrusted.pickles import Glimpse, glimpse

SENTENCES = {
    motionbert.LAYOUT: "stacked-hourglass 2D and 2.5D ground truth, as MotionBERT and MotionAGFormer use it",
    videopose3d.LAYOUT_3D: "world positions of VideoPose3D's layout",
    videopose3d.LAYOUT_2D: "2D of VideoPose3D's layout",
    "lcn-frames": "LCN's list of frames",
    "clip-pickle": "one clip, as MotionBERT and MotionAGFormer cut them",
    "mmpose-frames": "frames of mmpose's conversion",
    "3dhp": "MPI-INF-3DHP, as P-STMO converts it",
    "amass": "a motion file of AMASS",
    "web-page": "a web page, not the file itself: the download needed a login",
    "empty": "an empty file",
    **{form: sentence for form, (_, sentence) in FORMS.items()},
}
PROTOCOLS = {motionbert.LAYOUT: (motionbert.PROTOCOL,), videopose3d.LAYOUT_3D: (videopose3d.PROTOCOL,)}

WANTED = (
    "h36m_sh_conf_cam_source_final.pkl (protocol h36m-b), or data_3d_h36m.npz with cameras and detections (protocol "
    "h36m-a); docs/benchmark-data.md says where they come from"
)


def layout_of(path: Path) -> str | None:
    """A key of `SENTENCES`, from the file's content alone; None for none of them. Reads little.

    Raises:
        UserError: the file cannot be read.
    """
    content = content_of(first_bytes(path))
    if content == "empty":
        return "empty"
    if content == "Git LFS pointer":
        refuse_no_data(path, WANTED)
    if (form := camera_form(path)) is not None:
        return form
    if content == "web page":
        return "web-page"
    if content == "zip":
        return _npz_layout(path)
    seen = glimpse(path)
    return None if seen is None else _pickle_layout(seen)


def _npz_layout(path: Path) -> str | None:
    try:
        with open_npz(path) as archive:
            names = archive.names
    except NpzError as error:
        raise UserError(f"{path} cannot be read: {error}", "download it again") from error
    for member, layout in (
        ("positions_3d", videopose3d.LAYOUT_3D),
        ("positions_2d", videopose3d.LAYOUT_2D),
        ("imgname", "mmpose-frames"),
        ("data", "3dhp"),
        ("poses", "amass"),
    ):
        if member in names:
            return layout
    return None


def _pickle_layout(seen: Glimpse) -> str | None:
    words = set(seen.texts)
    if {"data_input", "data_label"} & words:
        return "clip-pickle"
    if {"videoid", "cameraid", "joint_3d_image", "joint_3d_camera"} & words:
        return "lcn-frames"
    if seen.container == "dict" and {"train", "test"} & {word.lower() for word in words}:
        return motionbert.LAYOUT
    return None


def recognise(path: Path) -> BenchmarkFile:
    """What a file is, with its checksum; not yet what its frames say (see `open_h36m`).

    Raises:
        UserError: it cannot be read, or nothing of Human3.6M is in it.
    """
    layout = layout_of(path)
    if layout is None:
        raise UserError(f"{path} is not a Human3.6M file that this reader knows", f"wanted: {WANTED}")
    return BenchmarkFile(
        path=path,
        layout=layout,
        sentence=SENTENCES[layout],
        protocols=PROTOCOLS.get(layout, ()),
        sha256=sha256_file(path),
    )
