"""Model pickles are read without running them: what chumpy wrote comes out, what an attacker wrote does not."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from actionpose.errors import UserError
from benchmarks.bodies import body_members, synthetic_body
from cli.data import main
from pipeline.body.convert import as_array, read_pickle, recognise
from pipeline.body.smplh import load_body


class Ch:
    """As chumpy writes itself: a dictionary with the array in `x`."""

    def __init__(self, x: Any) -> None:
        self.x = x
        self._dirty_vars: set[str] = set()


class Select:
    """As chumpy writes a selection of another array."""

    def __init__(self, a: Any, idxs: Any, shape: tuple[int, ...]) -> None:
        self.a, self.idxs, self.preferred_shape = a, idxs, shape


class csc_matrix:
    """As scipy writes a column-compressed matrix."""

    def __init__(self, dense: np.ndarray) -> None:
        rows, columns = np.nonzero(dense.T)[::-1]
        self._shape, self.maxprint = dense.shape, 50
        self.data, self.indices = dense[rows, columns], rows.astype(np.int32)
        self.indptr = np.searchsorted(columns, np.arange(dense.shape[1] + 1)).astype(np.int32)


HOMES = {Ch: "chumpy.ch", Select: "chumpy.reordering", csc_matrix: "scipy.sparse.csc"}


@pytest.fixture
def as_of_old(monkeypatch: pytest.MonkeyPatch):
    """Pickle with the classes under the names the official files use; the modules exist only while writing."""

    def write(path: Path, members: Any, protocol: int = 2) -> Path:
        with monkeypatch.context() as patch:
            for cls, home in HOMES.items():
                module = ModuleType(home)
                setattr(module, cls.__name__, cls)
                patch.setitem(sys.modules, home, module)
                patch.setattr(cls, "__module__", home)
            for parent in ("chumpy", "scipy", "scipy.sparse"):
                patch.setitem(sys.modules, parent, ModuleType(parent))
            path.write_bytes(pickle.dumps(members, protocol))
        return path

    return write


def chumpy_members(betas: int = 16, width: int = 459) -> dict[str, Any]:
    """A body as a Python 2 model file has it."""
    plain = {name: array.astype(np.float64) for name, array in body_members(synthetic_body(320)).items()}
    flat = Ch(np.concatenate([[9.0], plain["v_template"].ravel()]))
    return {
        "v_template": Select(flat, np.arange(1, 961), (320, 3)),
        "shapedirs": Ch(plain["shapedirs"][..., :betas]),
        "posedirs": plain["posedirs"][..., :width],
        "J_regressor": csc_matrix(plain["J_regressor"]),
        "weights": Ch(plain["weights"]),
        "kintree_table": body_members(synthetic_body(320))["kintree_table"],
        "f": body_members(synthetic_body(320))["f"],
        "bs_style": "lbs",
        "J": Ch(np.zeros((52, 3))),
    }


def convert(*args: object) -> Result:
    return CliRunner().invoke(main, ["convert-model", *map(str, args)])


# --- what comes out ---------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_arrays_selections_and_sparse_matrices_come_out_as_they_were(tmp_path, as_of_old, protocol):
    dense = np.zeros((5, 7))
    dense[[0, 4, 4, 2], [1, 1, 6, 3]] = [1.5, 2, 3, 4]
    array = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4))
    written = {"plain": array, "ch": Ch(array), "part": Select(Ch(array), [5, 0], (2, 1)), "sparse": csc_matrix(dense)}
    members = read_pickle(as_of_old(tmp_path / "m.pkl", written, protocol))
    for name in ("plain", "ch"):
        np.testing.assert_array_equal(as_array(members[name]), array)
        assert as_array(members[name]).dtype == np.float32
    np.testing.assert_array_equal(as_array(members["part"]), [[5], [0]])
    np.testing.assert_array_equal(as_array(members["sparse"]), dense)


def test_a_real_scipy_matrix_is_read_without_scipy_being_asked(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.random.default_rng(0).random((6, 9)).round()
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps({"J_regressor": sparse.csc_matrix(dense)}, 2))
    np.testing.assert_array_equal(as_array(read_pickle(path)["J_regressor"]), dense)


def test_a_converted_body_is_the_same_body(tmp_path, as_of_old):
    source = as_of_old(tmp_path / "SMPLH_FEMALE.pkl", chumpy_members())
    target = tmp_path / "body" / "smplh" / "female" / "model.npz"
    done = convert(source, "--out", target)
    assert done.exit_code == 0, done.output
    assert "Next: ap-data doctor --body" in done.stderr
    body, expected = load_body(tmp_path / "body", "female"), synthetic_body(320)
    np.testing.assert_allclose(body.v_template, expected.v_template, atol=1e-6)
    np.testing.assert_allclose(body.J_regressor, expected.J_regressor, atol=1e-6)
    np.testing.assert_allclose(body.posedirs, expected.posedirs, atol=1e-6)
    assert CliRunner().invoke(main, ["doctor", "--body", str(tmp_path / "body")]).exit_code == 0


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("betas", "width", "reason"),
    [
        (10, 459, "10 shape coefficients, as on the MANO site"),
        (16, 207, "SMPL (24 joints, no hands), not SMPL+H"),
        (16, 135, "a MANO hand, not SMPL+H"),
    ],
)
def test_other_models_are_named_and_refused(tmp_path, as_of_old, betas, width, reason):
    source = as_of_old(tmp_path / "SMPLH_male.pkl", chumpy_members(betas, width))
    assert reason in recognise(source).sentence
    done = convert(source, "--out", tmp_path / "male" / "model.npz")
    assert done.exit_code == 1
    assert reason in done.stderr
    assert "Extended SMPL+H model" in done.stderr
    assert not list((tmp_path / "male").glob("*")) if (tmp_path / "male").exists() else True


def test_a_body_that_fails_its_checks_is_refused_and_nothing_is_written(tmp_path, as_of_old):
    members = chumpy_members()
    members["weights"] = Ch(members["weights"].x * 2)
    done = convert(as_of_old(tmp_path / "b.pkl", members), "--gender", "male", "--out", tmp_path / "o" / "model.npz")
    assert done.exit_code == 1
    assert f"{tmp_path / 'b.pkl'}: rows of weights do not sum to one" in done.stderr
    assert list((tmp_path / "o").iterdir()) == []


class Attack:
    """What pickle would call while loading."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (os.system, ("touch {}",)),
        (subprocess.Popen, (["touch", "{}"],)),
        (eval, ("open('{}', 'w')",)),
        (open, ("{}", "w")),
        (getattr, ("{}", "format")),
        (np.save, ("{}", np.zeros(1))),
        (__import__, ("antigravity",)),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_in_a_pickle_is_ever_run(tmp_path, function, args, protocol):
    mark = tmp_path / "ran"
    filled = [a.format(mark) if isinstance(a, str) else a for a in args]
    filled = [[w.format(mark) for w in a] if isinstance(a, list) else a for a in filled]
    path = tmp_path / "SMPLH_male.pkl"
    path.write_bytes(pickle.dumps({"v_template": Attack(function, *filled)}, protocol))
    with pytest.raises(UserError, match="is refused: it asks for"):
        read_pickle(path)
    assert not mark.exists()
    assert "antigravity" not in sys.modules


def test_a_name_with_dots_does_not_reach_through_an_allowed_one(tmp_path):
    path = tmp_path / "m.pkl"
    path.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.")
    with pytest.raises(UserError, match="is refused"):
        read_pickle(path)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x80\x02}q\x00(X", b"\x80\x02cnumpy\nndarray\n)R.", b"I1\n."])
def test_damaged_files_are_reported_to_be_damaged(tmp_path, content):
    path = tmp_path / "m.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"not a pickle, cut short, or damaged|not the members|is empty|is a web page"):
        read_pickle(path)


def test_an_object_that_holds_itself_ends(tmp_path, as_of_old):
    loop = Ch(None)
    loop.x = loop
    with pytest.raises(UserError, match="v_template cannot be read"):
        recognise(as_of_old(tmp_path / "m.pkl", {"v_template": loop}))


# --- the command ------------------------------------------------------------------------------


def test_dry_run_says_what_it_is_and_writes_nothing(tmp_path, as_of_old):
    source = as_of_old(tmp_path / "x.pkl", chumpy_members(10))
    done = convert(source, "--dry-run")
    assert done.exit_code == 0
    assert "10 shape coefficients" in done.stderr
    assert list(tmp_path.iterdir()) == [source]


def test_usage_is_explained(tmp_path, as_of_old):
    source = as_of_old(tmp_path / "x.pkl", chumpy_members())
    assert "give the file to write" in convert(source).stderr
    assert "should end in .npz" in convert(source, "--out", tmp_path / "o").stderr
    unknown = convert(source, "--out", tmp_path / "o.npz")
    assert unknown.exit_code == 2
    assert "--gender" in unknown.stderr
    assert "check the path" in convert(tmp_path / "no.pkl", "--out", tmp_path / "male.npz").stderr


def test_doctor_looks_into_pickles_of_a_body_folder(tmp_path, as_of_old):
    as_of_old(tmp_path / "SMPLH_male.pkl", chumpy_members(10))
    text = CliRunner().invoke(main, ["doctor", "--body", str(tmp_path)]).output
    assert "as on the MANO site" in " ".join(text.split())
    assert "Extended SMPL+H model" in text
    as_of_old(tmp_path / "SMPLH_FEMALE.pkl", chumpy_members())
    text = CliRunner().invoke(main, ["doctor", "--body", str(tmp_path)]).output
    assert "ap-data convert-model" in text
