"""Settings: what is written is what is read, a typo names its neighbour, and equal settings have one name."""

from __future__ import annotations

import json
import tomllib
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionpose.config import (
    canonical_json,
    differences,
    docs,
    fingerprint,
    from_dict,
    load_config,
    parse_override,
    resolve,
    section,
    setting,
    to_dict,
    to_toml,
)
from actionpose.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Inner:
    depth: int = setting(5, "how deep; the paper says five")
    ratio: float = setting(0.1, "a share")
    mode: Literal["fast", "mesh"] = setting("fast", "which way")
    graph: Literal["auto", True, False] = setting("auto", "a word or a switch")
    limit: int | None = setting(None, "none: no limit")


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str = setting("plain", "a text")
    on: bool = setting(True, "a switch")
    views: tuple[str, ...] = setting(("front", "side"), "a list of texts")
    counts: tuple[int, ...] = setting((), "a list of numbers")
    inner: Inner = section(Inner, "a section")

    def __post_init__(self) -> None:
        if self.name == "":
            raise ValueError("name must not be empty")


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
numbers = st.integers(-(2**60), 2**60)
inners = st.builds(
    Inner,
    depth=numbers,
    ratio=st.floats(allow_nan=False, allow_infinity=False),
    mode=st.sampled_from(["fast", "mesh"]),
    limit=st.none() | numbers,
)
outers = st.builds(
    Outer,
    name=texts,
    on=st.booleans(),
    views=st.lists(texts).map(tuple),
    counts=st.lists(numbers).map(tuple),
    inner=inners,
)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# --- there and back ---------------------------------------------------------------------------


@given(outers)
def test_settings_survive_toml(value: Outer):
    assert from_dict(Outer, tomllib.loads(to_toml(value))) == value


@given(outers)
def test_settings_survive_json(value: Outer):
    assert from_dict(Outer, json.loads(canonical_json(to_dict(value)))) == value


@given(outers)
@settings(max_examples=30)
def test_explained_toml_reads_back_the_same(value: Outer):
    text = to_toml(value, {"inner.depth": "-o", "views": "mine.toml"}, explain=True)
    assert from_dict(Outer, tomllib.loads(text)) == value
    assert "# how deep; the paper says five" in text
    assert f"depth = {value.inner.depth}  # -o" in text


def test_settings_cannot_be_changed_or_given_by_position():
    with pytest.raises(FrozenInstanceError):
        Outer().on = False  # type: ignore[misc]
    with pytest.raises(TypeError):
        Outer("by position")  # type: ignore[misc]


def test_every_leaf_has_its_sentence_under_its_dotted_name():
    assert docs(Outer)["inner.ratio"] == "a share"
    assert set(docs(Outer)) == {
        "name", "on", "views", "counts", "inner.depth", "inner.ratio", "inner.mode", "inner.limit", "inner.graph",
    }  # fmt: skip


# --- who decides ------------------------------------------------------------------------------


def test_later_files_win_and_overrides_win_over_files(tmp_path: Path):
    first = write(tmp_path / "first.toml", 'name = "first"\n[inner]\ndepth = 1\nratio = 0.5\n')
    second = write(tmp_path / "second.toml", "[inner]\ndepth = 2\n")
    found = resolve(Outer, [first, second], ["inner.mode=mesh"])
    assert found.value == Outer(name="first", inner=Inner(depth=2, ratio=0.5, mode="mesh"))
    assert found.origins == {
        "name": str(first),
        "on": "default",
        "views": "default",
        "counts": "default",
        "inner.depth": str(second),
        "inner.ratio": str(first),
        "inner.mode": "-o",
        "inner.limit": "default",
        "inner.graph": "default",
    }


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("inner.depth=7", Outer(inner=Inner(depth=7))),
        ("inner.ratio=1", Outer(inner=Inner(ratio=1.0))),
        ("inner.ratio=1e-3", Outer(inner=Inner(ratio=0.001))),
        ("inner.limit=3", Outer(inner=Inner(limit=3))),
        ("inner.limit=none", Outer()),
        ("on=false", Outer(on=False)),
        ('views=["side"]', Outer(views=("side",))),
        ("views=[]", Outer(views=())),
        ("name=a path/with blanks", Outer(name="a path/with blanks")),
        ("name=/data/AMASS", Outer(name="/data/AMASS")),
        ('name="20"', Outer(name="20")),
        ("name=a=b", Outer(name="a=b")),
        ("inner={depth = 9}", Outer(inner=Inner(depth=9))),
    ],
)
def test_an_override_takes_the_type_of_its_field(text: str, changed: Outer):
    assert load_config(Outer, overrides=[text]) == changed
    assert type(load_config(Outer, overrides=["inner.ratio=1"]).inner.ratio) is float


def test_none_in_a_file_takes_a_value_back(tmp_path: Path):
    limited = write(tmp_path / "limited.toml", "[inner]\nlimit = 4\n")
    assert load_config(Outer, [limited]).inner.limit == 4
    assert load_config(Outer, [limited], ["inner.limit=none"]).inner.limit is None


@given(st.sampled_from(["depth", "ratio"]), st.text("0123456789.e-", max_size=6))
def test_an_override_is_read_or_refused_and_never_half_read(key: str, raw: str):
    meant = parse_override(f"x={raw}")[1]
    if isinstance(meant, int if key == "depth" else int | float):
        assert getattr(load_config(Outer, overrides=[f"inner.{key}={raw}"]).inner, key) == meant
    else:
        with pytest.raises(UserError, match="must be"):
            load_config(Outer, overrides=[f"inner.{key}={raw}"])


# --- what is refused, and what the reader is told ---------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "toml", "message", "hint"),
    [
        (["inner.dept=1"], "", "'inner.dept'", "inner.depth"),
        (["iner.depth=1"], "", "'iner.depth'", "inner.depth"),
        (["zzzz=1"], "", "'zzzz'", "views"),
        ([], "[inner]\nmodde = 'fast'", "'modde'", "did you mean 'mode'"),
        ([], "veiws = []", "'veiws'", "did you mean 'views'"),
        (["inner.mode=slow"], "", "cannot be 'slow'", "fast, mesh"),
        (["inner.graph=1"], "", "cannot be 1", "auto, True, False"),
        (["inner.depth=2.5"], "", "whole number, not 2.5", ""),
        (["inner.depth=true"], "", "whole number, not True", ""),
        (["on=1"], "", "true or false, not 1", ""),
        (["name=20"], "", "must be text, not 20", "quotes"),
        (["views=front"], "", "is a list, not 'front'", '["a", "b"]'),
        (["counts=[1, 'b']"], "", "whole number, not 'b'", ""),
        (["inner=3"], "", "is a section, not the value 3", "section.key=value"),
        (["inner.depth"], "", "not of the form section.key=value", ""),
        (["=3"], "", "not of the form section.key=value", ""),
        (["name="], "", "name must not be empty", ""),
        ([], "name = ", "not valid TOML", ""),
    ],
)
def test_a_mistake_is_named_and_the_nearest_name_offered(
    tmp_path: Path, overrides: list[str], toml: str, message: str, hint: str
):
    with pytest.raises(UserError) as caught:
        load_config(Outer, [write(tmp_path / "mine.toml", toml)], overrides)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_missing_settings_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"there is no settings file .*nowhere\.toml"):
        load_config(Outer, [tmp_path / "nowhere.toml"])


# --- identity ---------------------------------------------------------------------------------


def test_canonical_json_does_not_depend_on_order_and_keeps_every_letter():
    assert canonical_json({"b": [1, 2.5, None], "a": "größer"}) == '{"a":"größer","b":[1,2.5,null]}'
    assert canonical_json({"x": 1, "y": 2}) == canonical_json(dict(reversed([("x", 1), ("y", 2)])))


def test_what_has_no_json_form_has_no_fingerprint():
    with pytest.raises(ValueError, match="JSON"):
        fingerprint({"loss": float("nan")})


def test_a_fingerprint_never_changes_between_releases():
    # Written down once: folders on users' disks are named by these.
    assert fingerprint({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert fingerprint({"fps": 30.0, "views": ["front", "side"]}) == (
        "sha256:a3e1bf7f93bf600064c2c54aa61e765a6181a133f6b2150e8b40056950675a4b"
    )


@given(outers, outers)
def test_fingerprints_are_equal_exactly_when_settings_are(one: Outer, other: Outer):
    same_text = canonical_json(to_dict(one)) == canonical_json(to_dict(other))
    assert (fingerprint(to_dict(one)) == fingerprint(to_dict(other))) == same_text
    assert same_text == (repr(one) == repr(other))


@given(outers, outers)
def test_differences_name_exactly_the_keys_that_differ(one: Outer, other: Outer):
    old, new = to_dict(one), to_dict(other)
    named = {line.partition(":")[0] for line in differences(old, new)}
    assert named == {
        *(key for key in ("name", "on", "views", "counts") if old[key] != new[key]),
        *(f"inner.{key}" for key in old["inner"] if old["inner"][key] != new["inner"][key]),
    }


def test_a_difference_says_old_and_new():
    before, after = to_dict(Outer(views=("front",))), to_dict(Outer())
    assert differences(before, after) == ['views: was ["front"], now ["front", "side"]']
    assert differences({}, {"new": 1}) == ["new: was null, now 1"]
