"""What people save by mistake under the name of data is recognised by its first bytes and refused with advice."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from actionpose.errors import UserError
from actionpose.sniff import content_of, first_bytes, refuse_wrong_content, sniff
from cli.data import main as ap_data
from cli.train import main as ap_train
from tests.makers.closed import close_folder
from tests.makers.shards import make_benchmark


@pytest.mark.parametrize(
    ("head", "content"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b"<!DOCTYPE html><html>log in</html>", "web page"),
        (b"\xef\xbb\xbf\r\n <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer"),
        (b"\xfd7zXZ\x00", "packed archive"),
        (b"\x1f\x8b\x08", "packed archive"),
        (pickle.dumps({}, protocol=2), "pickle"),
        (pickle.dumps({}, protocol=5), "pickle"),
        (b"\x80", ""),
        (b"PK\x03\x04", "zip"),
        (b"\x93NUMPY\x01\x00", ""),
    ],
)
def test_first_bytes_say_what_a_file_is(head: bytes, content: str):
    assert content_of(head) == content


def test_arrays_and_archives_of_arrays_pass(tmp_path: Path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "many.npz", a=np.zeros(3))
    for path in tmp_path.iterdir():
        refuse_wrong_content(path, "hint")
    assert sniff(tmp_path / "many.npz") == "zip"


def test_a_refusal_names_the_file_and_the_next_move(tmp_path: Path):
    (tmp_path / "model.npz").write_text("<html>quota exceeded")
    with pytest.raises(UserError, match=r"model\.npz is a web page") as caught:
        refuse_wrong_content(tmp_path / "model.npz", "get it from SITE")
    assert caught.value.hint == "get it from SITE"
    (tmp_path / "old.pkl").write_bytes(b"(dp0")
    with pytest.raises(UserError, match="pickle") as caught:
        refuse_wrong_content(tmp_path / "old.pkl", "get it from SITE", pickled="convert it")
    assert caught.value.hint == "convert it"
    with pytest.raises(UserError, match="cannot read"):
        refuse_wrong_content(tmp_path / "nothing.npz", "get it from SITE")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("walk_poses.npz", ("ap-data", "keypoints", "FILE", "--output", "OUT", "--body", "B", "--regressor", "R")),
        ("model.npz", ("ap-data", "keypoints", "WALK", "--output", "OUT", "--body", "FOLDER", "--regressor", "R")),
        ("R.npy", ("ap-data", "keypoints", "WALK", "--output", "OUT", "--body", "B", "--regressor", "FILE")),
        ("model.pkl", ("ap-data", "convert-model", "FILE", "--dry-run")),
        ("h36m.pkl", ("ap-data", "build-h36m", "--h36m", "FILE", "--out", "OUT")),
        ("data_3d_h36m.npz", ("ap-data", "build-h36m", "--h36m", "FILE", "--out", "OUT")),
        ("data_test_3dhp.npz", ("ap-data", "build-3dhp", "--mpi-inf-3dhp", "FILE", "--out", "OUT")),
        ("train.json", ("ap-data", "pairs", "--babel", "FOLDER", "--dry-run", "-o", 'pairs.splits=["train"]')),
        ("keypoints.npz", ("ap-data", "project-2d", "FILE", "--output", "OUT")),
        ("poses.npz", ("ap-train", "score", "FILE", "--data", "BENCHMARK")),
        ("poses.mat", ("ap-train", "score", "FILE", "--data", "BENCHMARK")),
        ("best.bin", ("ap-train", "finetune", "--data", "BENCHMARK", "--init", "FILE", "--out", "OUT")),
        ("pytorch_model.bin", ("ap-train", "pretrain", "--data", "SHARDS", "-o", "text.model=FOLDER", "--out", "OUT")),
        ("walk.bvh", ("ap-data", "import", "FILE", "--out", "OUT")),
    ],
)
def test_a_git_lfs_pointer_is_called_one_by_every_command(name, words, bert, world, shards, tmp_path):
    """The file that a clone without Git LFS leaves in the place of the data."""
    folder = tmp_path / "given" / "smplh" / "male" if name == "model.npz" else tmp_path / "given"
    folder.mkdir(parents=True)
    if name == "pytorch_model.bin":
        shutil.copytree(bert, folder, dirs_exist_ok=True)
        (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(POINTER)
    walk = next((world.root / "amass").glob("*/rub001/*_poses.npz"))
    places = {"FILE": folder / name, "FOLDER": tmp_path / "given", "OUT": tmp_path / "out.npz", "WALK": walk}
    places |= {"B": world.root / "body", "R": world.root / "regressor.npy", "SHARDS": shards}
    if "BENCHMARK" in words:
        places["BENCHMARK"] = make_benchmark(tmp_path / "benchmark", lengths=(33, 32), train=2)
    program = ap_data if words[0] == "ap-data" else ap_train
    given = [word.replace("FOLDER", str(tmp_path / "given")) for word in words[1:]]
    done = CliRunner().invoke(program, [str(places.get(word, word)) for word in given])
    assert done.exit_code == 1, done.stderr
    assert "LFS" in done.stderr
    assert str(folder / name) in " ".join(done.stderr.split())


def test_what_may_not_be_read_is_not_to_be_got_again(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "model.npz").write_bytes(b"PK")
    close_folder(monkeypatch, tmp_path / "closed")
    with pytest.raises(UserError, match=r"cannot read .*model\.npz: Permission denied") as error:
        first_bytes(tmp_path / "closed" / "model.npz", hint="download it again")
    assert error.value.hint == "check its permissions"
