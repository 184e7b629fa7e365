"""Whatever happens to a file, importing it ends with a take or with a sentence, never with another exception."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.engine.item import ItemError
from pipeline.importers.figure import load_figure
from pipeline.importers.take import Options, import_file
from tests.makers.captured import jumper, write_asf_amc, write_bvh

FIGURE = load_figure(None)
WORDS = [b"nan", b"-inf", b"1e308", b"{", b"}", b"JOINT", b"ROOT x", b"End Site", b"\n", b"9" * 30, b"-1"]
WORDS += [b"begin", b"end", b":hierarchy", b"root", b"0", b"\xff\xfe", b"CHANNELS 3", b"", b"\0" * 40]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, bytes]]:
    """Format → a short take, and its bytes."""
    folder = tmp_path_factory.mktemp("damage")
    person = jumper(0.4)
    poses = np.pad(person.poses, ((0, 0), (0, 6)))
    paths = {"bvh": write_bvh(folder / "a.bvh", person), "amc": write_asf_amc(folder, person)}
    paths["asf"] = folder / "05.asf"
    paths["npz"], paths["pkl"] = folder / "a.npz", folder / "a.pkl"
    np.savez(paths["npz"], poses=poses, trans=person.trans, fps=60)
    paths["pkl"].write_bytes(pickle.dumps({"smpl_poses": poses, "smpl_trans": person.trans, "smpl_scaling": [1.0]}))
    return {name: (path, path.read_bytes()) for name, path in paths.items()}


places = st.tuples(st.floats(0, 1), st.integers(0, 200), st.sampled_from(WORDS))


@pytest.mark.parametrize("name", ["bvh", "amc", "asf", "npz", "pkl"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.lists(places, min_size=1, max_size=4), early=st.booleans())
def test_damaged_files_end_in_a_sentence(files, name: str, damage, early: bool):
    path, whole = files[name]
    content = whole
    for share, length, word in damage:
        start = int(share * (min(len(content), 2_000) if early else len(content)))
        content = content[:start] + word + content[start + length :]
    path.write_bytes(content)
    try:
        reason, message = _outcome(files["amc"][0] if name == "asf" else path)
    finally:
        path.write_bytes(whole)
    assert not reason or path.name in message or files["amc"][0].name in message


def _outcome(path: Path) -> tuple[str, str]:
    """Reason and message of a rejection; empty when the file is imported, and then all of it is finite."""
    try:
        take = import_file(path, FIGURE, Options())
    except ItemError as error:
        return error.reason, error.message
    assert np.isfinite(take.poses).all()
    assert np.isfinite(take.trans).all()
    return "", ""
