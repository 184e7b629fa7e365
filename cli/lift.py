"""`ap-lift`: from 2D keypoints of any detector to 3D poses, and to the actions they show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actionpose.errors import UserError
from actionpose.progress import waiting
from actionpose.version import toolkit_version
from cli.app import Group, given, version_option
from cli.options import PathLike, option_group
from cli.output import emit, format_option, loading, next_step, note, some_failed, write_rows

if TYPE_CHECKING:
    from actionpose.lift.actions import Embedded
    from actionpose.lift.result import Lifted
    from actionpose.lift.source import LiftModel

LAYOUT_NAMES = (
    *("coco-17", "h36m-17", "coco-18", "body-25", "halpe-26", "mediapipe-33", "wholebody-133", "dwpose-134"),
    *("halpe-136", "posetrack-17"),
)
FILE_FORMATS = ("npz", "json", "motionbert")


@click.group(cls=Group, extra="lift")
@version_option()
def main() -> None:
    """Lift 2D keypoints of any detector to 3D, and say which actions they show."""


_input_options = option_group(
    click.option("--layout", type=click.Choice(LAYOUT_NAMES), help="Joints in the file [default: recognised]."),
    click.option("--joint-map", type=PathLike, metavar="TOML", help="Map from your joints to Human3.6M's."),
    click.option("--fps", type=float, metavar="F", help="Frame rate of the film [default: the file's]."),
    click.option("--image-size", nargs=2, type=float, metavar="W H", help="Width and height of the picture."),
    click.option(
        "--units", type=click.Choice(["auto", "pixels", "normalised", "screen"]), default="auto",
        help="Coordinates: pixels, 0 to 1, or -1 to 1 over the width [default: recognised].",
    ),
    click.option("--y", type=click.Choice(["auto", "down", "up"]), default="auto",
                 help="Where y grows [default: recognised]."),
    click.option("--person", type=int, metavar="ID", help="Lift this person [default: the most prominent]."),
    click.option("--all", "everybody", is_flag=True, help="Lift all people."),
    click.option("--min-confidence", type=float, default=0.1, show_default=True, help="Joints below are hidden."),
    click.option("--max-gap", type=float, metavar="S", help="Split where a person is missing for longer."),
)  # fmt: skip


_model_options = option_group(
    click.option(
        "--model",
        type=PathLike,
        metavar="RUN_OR_FILE",
        help="A run of ap-train, or a MotionBERT file [default: the shipped model].",
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option("--batch", type=click.IntRange(1), default=32, show_default=True, help="Windows at once."),
    click.option("--flip/--no-flip", default=True, show_default=True, help="Average with the mirrored input."),
)


@main.command()
@click.argument("keypoints", nargs=-1, required=True, type=PathLike)
@click.option("-o", "--out", type=PathLike, required=True, metavar="OUT", help="File to write; a folder for several.")
@_model_options
@_input_options
@click.option("--fill", is_flag=True, help="Write poses for hidden joints and missing frames, too, flagged.")
@click.option("--predict", type=float, default=0.0, metavar="SECONDS", help="Continue after the last frame.")
@click.option("--height-m", type=float, metavar="M", help="The person's height, for true metres.")
@click.option("--bone", metavar="A-B=M", help="A bone instead: left_hip-left_knee=0.43.")
@click.option("--up", is_flag=True, help="Turn into a world whose z is up; gravity is estimated.")
@click.option("--format", type=click.Choice(FILE_FORMATS), help="Form of the file [default: by its name, else npz].")
@click.option("--view", "picture", type=PathLike, metavar="PICTURE", help="Show it, too: .html, .mp4, .gif or .png.")
@click.option("--labels", metavar="FILE|'A,B'", help="With --view: name the action over time among these.")
def run(
    keypoints: tuple[Path, ...], out: Path, model: Path | None, device: str, format: str | None, everybody: bool,
    picture: Path | None, labels: str | None, **options: Any,
) -> None:  # fmt: skip
    """Lift KEYPOINTS: COCO, AlphaPose, OpenPose, MMPose, rtmlib, MediaPipe, SLEAP, DeepLabCut, VideoPose3D or arrays.

    What each file was taken for is printed. Several files are lifted one by one into the folder OUT; the frames of one
    OpenPose folder count as one clip.

    \b
    ap-lift run results.json --fps 25 -o clip.npz --view clip.html --labels 'walk,sit down'
    """
    loading("torch")
    from actionpose.lift.actions import read_labels
    from actionpose.lift.read import one_clip
    from actionpose.lift.source import device_of, open_model
    from actionpose.picture.show import check_suffix

    several = len(keypoints) > 1 and not one_clip(keypoints)
    if picture is not None:
        check_suffix(picture)
        if several:
            raise click.UsageError("--view shows one clip; show several one by one: ap-lift view")
    if labels is not None and (picture is None or format == "motionbert"):
        raise click.UsageError("--labels belongs to --view of an .npz or .json; of any result: ap-lift actions")
    wanted = read_labels(labels) if labels is not None else []
    chosen = _chosen(options, everybody)
    if several:
        _check_names(keypoints, out, format)
    source = open_model(_model(model), device_of(device))
    note(f"model: {source.says}")
    if several:
        _lift_each(keypoints, source, out, format, chosen)
        return
    lifted = _lift_one(keypoints, source, out, format, chosen)
    if picture is not None:
        named = _named(out, wanted, model, device) if wanted else []
        _show(lifted, picture, title=keypoints[0].name, actions=named)
    next_step(_made(lifted, out))


def _check_names(clips: Sequence[Path], folder: Path, format: str | None) -> None:
    """Raises click.UsageError where the results of two clips would be one file."""
    taken: dict[Path, Path] = {}
    for clip in clips:
        if (other := taken.setdefault(target := _beside(folder, clip, format), clip)) is not clip:
            raise click.UsageError(f"{other} and {clip} would both be written to {target}; lift them into two folders")


def _lift_each(
    clips: Sequence[Path], source: LiftModel, folder: Path, format: str | None, options: dict[str, Any]
) -> None:
    """Several clips, one after the other; one that cannot be lifted does not stop the rest."""
    failed = 0
    for clip in clips:
        try:
            _lift_one([clip], source, _beside(folder, clip, format), format, options)
        except UserError as error:
            failed += 1
            note(f"{clip}: not lifted\n{error}")
    lifted = f"{len(clips) - failed} of {len(clips)}" if failed else f"{len(clips)}"
    next_step(f"{lifted} clips lifted into {folder}")
    if failed:
        some_failed()


def _model(path: Path | None, clips: Sequence[Path] = ()) -> Path | None:
    """The model that was named, or the one that a result of `ap-lift run` was made with; None: the shipped one."""
    from actionpose.lift.result import model_of

    made_with = model_of(clips[0]) if path is None and len(clips) == 1 else None
    return made_with if made_with is not None and made_with.exists() else path


def _beside(folder: Path, clip: Path, format: str | None) -> Path:
    """Where the result of one of several clips goes."""
    suffix = {"json": ".json", "motionbert": ".npy"}.get(format or "", ".npz")
    return folder / f"{clip.stem}{suffix}"


def _lift_one(
    clip: Sequence[Path], source: LiftModel, target: Path, format: str | None, options: dict[str, Any]
) -> Lifted:
    from actionpose.lift.result import save
    from actionpose.lift.run import lift
    from pipeline.untrusted.pickles import load_objects

    lifted = lift(clip, source, objects=load_objects, tool_version=toolkit_version(), progress=True, **options)
    _say(clip[0] if len(clip) == 1 else clip[0].parent, lifted.verdicts, lifted.warnings)
    save(lifted, target, format)
    return lifted


def _made(lifted: Lifted, out: Path) -> str:
    people = f"{len(lifted.people)} people, " if len(lifted.people) > 1 else ""
    filled = int(lifted.filled.any(axis=1).sum())
    completed = f", {filled} with completed joints" if filled else ""
    return f"{people}{len(lifted)} poses{completed} in {out} ({lifted.units}; {lifted.scale_source})"


@main.command()
@click.argument("lifted", type=PathLike)
@click.option("-o", "--out", type=PathLike, required=True, metavar="PICTURE", help="A .html, .mp4, .gif or .png.")
@click.option("--labels", metavar="FILE|'A,B'", help="Name the action over time among these, as `ap-lift actions`.")
@click.option("--model", type=PathLike, metavar="RUN", help="Model for --labels [default: the one it was lifted with].")
@click.option("--device", default="auto", show_default=True, help="For --labels: auto, cpu, cuda or cuda:N.")
@click.option("--person", type=int, metavar="ID", help="Show this person [default: all on a page, else one].")
@click.option("--views", metavar="LIST", help="Angles: front, side, back, yaw+35pitch+14, … [default: two].")
@click.option("--start", type=float, default=0.0, metavar="S", help="Begin this many seconds after the first frame.")
@click.option("--seconds", type=float, metavar="S", help="Show this much [default: all].")
@click.option("--title", metavar="TEXT", help="First line [default: the file's name].")
def view(
    lifted: Path, out: Path, labels: str | None, model: Path | None, device: str, title: str | None, **options: Any
) -> None:
    """Show LIFTED, a result of `ap-lift run`: the 2D input beside the 3D from several angles.

    The ending of PICTURE decides: a page whose 3D can be turned, a film, or a sheet of eight moments. Hollow joints
    were not seen: the model completed them (`ap-lift run --fill`).

    \b
    ap-lift view clip.npz -o clip.html
    ap-lift view clip.npz --labels 'walk,sit down' --model demo/pretrain -o clip.mp4
    """
    from actionpose.lift.actions import read_labels
    from actionpose.lift.result import load
    from actionpose.picture.show import check_suffix

    check_suffix(out)
    found = load(lifted)
    rows = _named(lifted, read_labels(labels), model, device) if labels is not None else []
    shown = _show(found, out, title=title or lifted.name, actions=rows, **options)
    next_step(f"{shown} {'are' if shown.endswith('people') else 'is'} in {out}")


def _named(lifted: Path, labels: list[str], model: Path | None, device: str) -> list[dict[str, Any]]:
    """The actions over time of everybody in a result of `run`."""
    from actionpose.lift.actions import name_actions

    source, embedded = _embedded([lifted], model, device, {"person": "all", "min_confidence": 0.1})
    return name_actions(embedded[0], source, labels)


def _show(
    lifted: Lifted, out: Path, *, title: str, person: int | None = None, views: str | None = None, start: float = 0.0,
    seconds: float | None = None, actions: Sequence[dict[str, Any]] = (),
) -> str:  # fmt: skip
    """Write a picture of a result; whom it shows, in words."""
    from actionpose.lift.view import VIEWS, scenes_of
    from actionpose.picture.show import show
    from cli.output import frames_bar

    angles = tuple(part.strip() for part in views.split(",")) if views else VIEWS
    scenes = scenes_of(lifted, title=title, person=person, views=angles, actions=actions)
    if start or seconds is not None:
        scenes = [scene.cut(start, seconds) for scene in scenes]
    if len(scenes) > 1 and out.suffix.lower() != ".html":
        note(f"{out} shows the person with most frames of {len(scenes)}; choose another with --person, or a .html")
        scenes = scenes[:1]
    show(scenes, out, bar=frames_bar)
    return f"{len(scenes)} people" if len(scenes) > 1 else f"{len(scenes[0]) / scenes[0].fps:.1f} s"


@main.command()
@click.argument("clips", nargs=-1, required=True, type=PathLike)
@click.option(
    "--labels",
    metavar="FILE|'A,B'",
    help="Labels to choose from: a file of lines, or a list [default: those that the model brings].",
)
@click.option("--compare", is_flag=True, help="Compare the labels over whole clips instead of naming moments.")
@click.option("-o", "--out", type=PathLike, metavar="FILE", help="With --compare: a .png or .csv.")
@_model_options
@_input_options
@format_option
def actions(
    clips: tuple[Path, ...], labels: str | None, compare: bool, out: Path | None, model: Path | None, device: str,
    everybody: bool, format: str, **options: Any,
) -> None:  # fmt: skip
    """Say which action CLIPS show, when, from 2D alone.

    CLIPS are keypoint files, or results of `ap-lift run`. The model needs a text branch: a pretraining run, or a run
    fine-tuned from one. above_chance is 0 for a guess among the labels and 1 for certainty.

    \b
    ap-lift actions clip.npz
    ap-lift actions clip.npz --model demo/pretrain --labels 'walk,sit down,wave'
    ap-lift actions a.npz b.npz --labels 'sit down,stand up' --compare -o compared.png
    """
    from actionpose.lift.actions import known_labels, name_actions, read_labels
    from actionpose.lift.compare import compare as compare_labels
    from actionpose.lift.compare import draw_comparison
    from actionpose.picture.show import check_suffix

    if out is not None and not compare:
        raise click.UsageError("-o belongs to --compare; the table goes to stdout: --format csv > FILE")
    suffix = check_suffix(out, (".png", ".csv")) if out is not None else ""
    wanted = read_labels(labels) if labels is not None else []
    source, embedded = _embedded(clips, model, device, _chosen(options, everybody))
    wanted = wanted or known_labels(source)
    if not compare:
        named = [(one.source, row) for one in embedded for row in name_actions(one, source, wanted)]
        emit([row if len(clips) == 1 else {"clip": name, **row} for name, row in named], format)
        next_step(f"{len(named)} stretches of {', '.join(map(str, clips))}, named among {len(wanted)} labels")
        return
    rows = compare_labels(embedded, source, wanted)
    if suffix == ".csv":
        write_rows(rows, given(out, "-o"))
    elif suffix:
        draw_comparison(embedded, rows, given(out, "-o"))
    emit(rows, format)
    next_step(f"{len(wanted)} labels compared over {len(clips)} clips{f': {out}' if out else ''}")


@main.command()
@click.argument("text")
@click.argument("clips", nargs=-1, required=True, type=PathLike)
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Moments to list.")
@click.option("--embeddings", type=PathLike, metavar="NPZ", help="Write the embeddings of all windows, too.")
@_model_options
@_input_options
@format_option
def search(
    text: str, clips: tuple[Path, ...], top: int, embeddings: Path | None, model: Path | None, device: str,
    everybody: bool, format: str, **options: Any,
) -> None:  # fmt: skip
    """Find the moments of CLIPS that match TEXT best.

    \b
    ap-lift search 'pick up' clips/*.npz
    """
    from actionpose.lift.actions import save_embeddings
    from actionpose.lift.actions import search as find

    source, embedded = _embedded(clips, model, device, _chosen(options, everybody))
    rows = find(embedded, source, text, top)
    emit(rows, format)
    if embeddings is not None:
        save_embeddings(embedded, embeddings)
    windows = sum(len(clip.features) for clip in embedded)
    kept = f"; their embeddings are in {embeddings}" if embeddings else ""
    next_step(f"{len(rows)} moments among {windows} windows of {len(clips)} clips{kept}")


@main.command()
@click.argument("what", metavar="[CLIP_OR_MODEL]", required=False, type=PathLike)
@click.option(
    "-o", "--out", type=PathLike, required=True, metavar="OUT", help="File to write; its ending is the format."
)
@click.option("--person", type=int, metavar="ID", help="The person to write, in formats of one person.")
def export(what: Path | None, out: Path, person: int | None) -> None:
    """Write a result of `ap-lift run` as BVH, CSV, TRC, C3D or GLB, or a model as ONNX or torch.export's .pt2.

    Without CLIP_OR_MODEL it is the shipped model.

    \b
    ap-lift export clip.npz -o clip.bvh
    ap-lift export demo/with -o model.onnx
    """
    from actionpose.export.write import MODELS, SUFFIXES, export_clip
    from actionpose.lift.result import load

    suffix = out.suffix.lower()
    if suffix not in SUFFIXES:
        raise click.UsageError(f"'{out.name}' has no ending that is known; there are {', '.join(SUFFIXES)}")
    if suffix in MODELS:
        loading("torch")
        from actionpose.export.network import write_onnx, write_pt2
        from actionpose.lift.source import open_model

        with waiting(f"exporting {what or 'the shipped model'}"):
            notes = (write_onnx if suffix == ".onnx" else write_pt2)(open_model(what), out)
    elif what is None:
        raise click.UsageError(f"'{out.name}' is a format of clips; name a result of `ap-lift run`")
    else:
        notes = export_clip(load(what), out, person)
    for line in notes:
        note(line)
    next_step(f"{what or 'the shipped model'} is in {out}")


def _chosen(options: dict[str, Any], everybody: bool) -> dict[str, Any]:
    """Options of the command as those of `lift`."""
    if everybody and options["person"] is not None:
        raise click.UsageError("give one of --person and --all")
    size = options.pop("image_size")
    return {**options, "size": size, "person": "all" if everybody else options["person"]}


def _embedded(
    clips: Sequence[Path], model: Path | None, device: str, options: dict[str, Any]
) -> tuple[LiftModel, list[Embedded]]:
    """The model with its text branch, and every clip's windows."""
    loading("torch")
    from actionpose.lift.actions import embed, open_with_heads
    from actionpose.lift.run import read
    from actionpose.lift.source import device_of
    from actionpose.lift.understand import LiftOptions
    from pipeline.untrusted.pickles import load_objects

    source, heads = open_with_heads(_model(model, clips), device_of(device))
    note(f"model: {source.says}; {heads}")
    embedded = []
    for clip in clips:
        embedded.append(embed(read([clip], load_objects), source, LiftOptions(**options)))
        _say(clip, embedded[-1].ready.known.verdicts, embedded[-1].ready.known.warnings)
    return source, embedded


def _say(clip: Path, verdicts: Sequence[str], warnings: Sequence[str]) -> None:
    """How a clip was understood, and what looks wrong."""
    note(f"{clip}:")
    for line in verdicts:
        note(f"  {line}")
    for line in warnings:
        note(f"  WARNING: {line}")


if __name__ == "__main__":
    main()
