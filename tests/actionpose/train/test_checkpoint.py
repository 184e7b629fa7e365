"""A crash while saving leaves the previous checkpoint loadable; what is loaded is what was saved, or it is refused."""

from __future__ import annotations

import json
import os

import pytest
import torch
from torch import nn

from actionpose import files
from actionpose.errors import UserError
from actionpose.train import checkpoint


def trained(steps: int = 3) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.full((3, 4), float(step))).square().sum().backward()
        optimizer.step()
    return model, optimizer


def save(run, model, optimizer, step, **more):
    about = {"command": "finetune", "recipe": {}}
    return checkpoint.save(
        run, model=model, optimizer=optimizer, state={"step": step}, about=about, **{"keep": 2, **more}
    )


def test_weights_and_optimizer_come_back_bit_for_bit(tmp_path):
    model, optimizer = trained()
    save(tmp_path, model, optimizer, 3)
    found = checkpoint.latest(tmp_path)
    other, fresh = trained(steps=0)
    other.load_state_dict(found.weights())
    found.restore_optimizer(fresh, other)
    for m, o in ((model, optimizer), (other, fresh)):
        o.zero_grad()
        m(torch.ones(2, 4)).sum().backward()
        o.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_a_run_whose_name_is_no_utf8_is_read_again(tmp_path):
    model, optimizer = trained()
    run = tmp_path / os.fsdecode(b"caf\xe9")
    save(run, model, optimizer, 3)
    found = checkpoint.latest(run)
    assert all(torch.equal(weight, model.state_dict()[name]) for name, weight in found.weights().items())
    other, fresh = trained(steps=0)
    found.restore_optimizer(fresh, other)


def test_meta_is_readable_and_says_where_training_stood(tmp_path):
    path = save(tmp_path, *trained(), 3)
    meta = json.loads((path / "meta.json").read_text())
    assert (meta["schema"], meta["command"], meta["state"]) == ("actionpose-checkpoint", "finetune", {"step": 3})
    assert sorted(p.name for p in path.iterdir()) == ["meta.json", "optimizer.safetensors", "weights.safetensors"]


@pytest.mark.parametrize(
    ("module", "at"), [(checkpoint, "_store"), (files, "publish_folder"), (checkpoint, "write_text")]
)
def test_a_crash_while_saving_leaves_the_previous_one(tmp_path, monkeypatch, module, at):
    model, optimizer = trained()
    save(tmp_path, model, optimizer, 1)

    def crash(*args, **kwargs):
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(module, at, crash)
        with pytest.raises(OSError, match="gone"):
            save(tmp_path, model, optimizer, 2)
    found = checkpoint.latest(tmp_path)
    assert found.step == 1
    assert len(found.weights()) == 6
    assert not [p for p in (tmp_path / "checkpoints").iterdir() if p.name.endswith(".partial")]
    save(tmp_path, model, optimizer, 2)  # and the next attempt works
    assert checkpoint.latest(tmp_path).step == 2


def test_old_ones_go_but_the_best_stays(tmp_path):
    model, optimizer = trained()
    for step in range(1, 7):
        save(tmp_path, model, optimizer, step, best=step == 2)
    folders = sorted(p.name for p in (tmp_path / "checkpoints").glob("step_*"))
    assert folders == ["step_000002", "step_000005", "step_000006"]
    assert checkpoint.latest(tmp_path).step == 6
    assert checkpoint.find(tmp_path).step == 2
    assert checkpoint.find(tmp_path / "checkpoints/step_000005").step == 5
    assert checkpoint.find(tmp_path / "checkpoints/step_000005/weights.safetensors").step == 5


def test_a_run_without_its_pointer_is_still_found(tmp_path):
    model, optimizer = trained()
    for step in (9, 10):
        save(tmp_path, model, optimizer, step)
    (tmp_path / "checkpoints/latest").unlink()
    assert checkpoint.latest(tmp_path).step == 10
    assert checkpoint.latest(tmp_path / "nothing") is None


def test_the_newest_is_the_one_of_most_steps_beyond_a_million_too(tmp_path):
    model, optimizer = trained()
    for step in (999_980, 999_990, 1_000_000, 1_000_010):
        save(tmp_path, model, optimizer, step)
    folders = {p.name for p in (tmp_path / "checkpoints").glob("step_*")}
    assert folders == {"step_1000000", "step_1000010"}
    (tmp_path / "checkpoints/latest").unlink()
    assert checkpoint.latest(tmp_path).step == 1_000_010


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors"])
def test_one_wrong_byte_is_noticed(tmp_path, name):
    model, optimizer = trained()
    path = save(tmp_path, model, optimizer, 1)
    content = bytearray((path / name).read_bytes())
    content[-1] ^= 1
    (path / name).write_bytes(content)
    found = checkpoint.latest(tmp_path)
    with pytest.raises(UserError, match=rf"{name} is damaged"):
        found.weights() if name.startswith("weights") else found.restore_optimizer(optimizer, model)


def test_what_is_no_checkpoint_is_refused_with_advice(tmp_path):
    with pytest.raises(UserError, match=r"there is no (.|\n)*run folder"):
        checkpoint.find(tmp_path / "nowhere")
    with pytest.raises(UserError, match="has no checkpoint"):
        checkpoint.find(tmp_path)
    path = save(tmp_path, *trained(), 1)
    meta = json.loads((path / "meta.json").read_text())
    for change, complaint in (({"version": 99}, "version 99"), ({"schema": "other"}, "does not describe")):
        (path / "meta.json").write_text(json.dumps({**meta, **change}))
        with pytest.raises(UserError, match=complaint):
            checkpoint.latest(tmp_path)
    (path / "meta.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        checkpoint.latest(tmp_path)


def test_an_optimizer_of_another_model_is_refused(tmp_path):
    save(tmp_path, *trained(), 1)
    other = nn.Linear(2, 2)
    with pytest.raises(UserError, match="the model does not"):
        checkpoint.latest(tmp_path).restore_optimizer(torch.optim.AdamW(other.parameters()), other)


@pytest.mark.parametrize(
    "content", [b"../../other/checkpoints/step_000001", b"/etc", b"step_1/..", b"\xff\xfe", b"x" * 5000, b"", b"step_9"]
)
def test_a_pointer_outside_its_run_is_not_followed(tmp_path, content):
    save(tmp_path / "other", *trained(), 1)
    save(tmp_path / "run", *trained(), 2)
    for name in ("latest", "best"):
        (tmp_path / "run/checkpoints" / name).write_bytes(content)
    assert checkpoint.latest(tmp_path / "run").step == 2
    assert checkpoint.find(tmp_path / "run").step == 2


@pytest.mark.parametrize(
    "change",
    [{"version": "1"}, {"state": None}, {"state": {}}, {"files": []}, {"files": {}}, {"recipe": 3}, {"schema": None}],
)
def test_a_strange_meta_is_damaged(tmp_path, change):
    path = save(tmp_path, *trained(), 1)
    meta = json.loads((path / "meta.json").read_text())
    (path / "meta.json").write_text(json.dumps({**meta, **change}))
    with pytest.raises(UserError, match=r"meta\.json"):
        checkpoint.read(path)
    (path / "meta.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"meta\.json"):
        checkpoint.read(path)


def test_a_checkpoint_that_is_replaced_while_it_is_read_makes_room_for_the_next(tmp_path, monkeypatch):
    save(tmp_path, *trained(), 1)
    load = checkpoint._load

    def replaced(path, meta):
        monkeypatch.setattr(checkpoint, "_load", load)
        save(tmp_path, *trained(), 2, keep=1, best=True)  # what the training does meanwhile: step 1 is gone
        return load(path, meta)

    monkeypatch.setattr(checkpoint, "_load", replaced)
    found = checkpoint.find(tmp_path, hold=True)
    assert found.step == 2
    save(tmp_path, *trained(), 3, keep=1, best=True)
    assert found.weights().keys() == trained()[0].state_dict().keys()  # held, though no longer on disk


def test_damaged_weights_are_damaged_at_once(tmp_path):
    path = save(tmp_path, *trained(), 1)
    (path / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="damaged"):
        checkpoint.find(tmp_path, hold=True)
