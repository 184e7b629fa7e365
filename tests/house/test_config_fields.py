"""Every setting is explained in a sentence, has a default of its own type, and is read by someone."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import tomllib
from functools import cache
from pathlib import Path

from actionpose.config import (
    canonical_json,
    docs,
    field_types,
    flat,
    from_dict,
    load_config,
    read_toml,
    to_dict,
    to_toml,
)
from actionpose.errors import UserError
from tests.makers.places import ROOT

SOURCES = [path for package in ("actionpose", "pipeline", "cli") for path in sorted((ROOT / package).rglob("*.py"))]


def _settings_modules() -> list[str]:
    """Modules that define settings: those that import `setting`."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and "setting" in {alias.name for alias in node.names}:
                found.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return found


@cache
def settings_classes() -> tuple[type, ...]:
    found = {
        value
        for module in _settings_modules()
        for value in vars(importlib.import_module(module)).values()
        if isinstance(value, type)
        and dataclasses.is_dataclass(value)
        and any("doc" in field.metadata for field in dataclasses.fields(value))
    }
    return tuple(sorted(found, key=lambda cls: f"{cls.__module__}.{cls.__name__}"))


@cache
def names_read() -> frozenset[str]:
    """Every attribute name that some code reads; the checks of a settings class on itself do not count."""
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef) and node.name == "__post_init__":
            return
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            names.add(node.attr)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr":
            names.update(a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))
        for child in ast.iter_child_nodes(node):
            visit(child)

    for path in SOURCES:
        visit(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(names)


def test_both_halves_of_the_toolkit_have_settings():
    homes = {cls.__module__.partition(".")[0] for cls in settings_classes()}
    assert homes == {"actionpose", "pipeline"}


def test_settings_are_frozen_and_given_by_name():
    for cls in settings_classes():
        assert cls.__dataclass_params__.frozen, cls  # type: ignore[attr-defined]
        assert all(field.kw_only for field in dataclasses.fields(cls)), cls


def test_every_setting_has_one_line_that_explains_it():
    for cls in settings_classes():
        assert cls.__doc__, cls
        assert not cls.__doc__.startswith(f"{cls.__name__}("), f"{cls} has no docstring of its own"
        for field in dataclasses.fields(cls):
            doc = field.metadata.get("doc", "")
            assert len(doc.split()) >= 2, f"{cls.__name__}.{field.name}: {doc!r}"
            assert "\n" not in doc, f"{cls.__name__}.{field.name}"


def test_every_default_has_the_type_of_its_field():
    # A default of 1 for a float would give equal settings two fingerprints.
    for cls in settings_classes():
        data = to_dict(cls())
        assert canonical_json(to_dict(from_dict(cls, data))) == canonical_json(data), cls


def test_every_default_survives_its_own_toml():
    for cls in settings_classes():
        assert from_dict(cls, tomllib.loads(to_toml(cls(), explain=True))) == cls()


def test_every_setting_is_read_by_some_code():
    unread = [
        f"{cls.__name__}.{field.name}"
        for cls in settings_classes()
        for field in dataclasses.fields(cls)
        if field.name not in names_read()
    ]
    assert unread == []


def test_every_dotted_name_is_explained_once():
    for cls in settings_classes():
        assert set(docs(cls)) == set(_leaves(cls)), cls


def _leaves(cls: type, at: str = "") -> list[str]:
    out: list[str] = []
    for name, hint in field_types(cls).items():
        out += _leaves(hint, f"{at}{name}.") if dataclasses.is_dataclass(hint) else [at + name]
    return out


def _whole_settings() -> list[type]:
    """Settings classes that are no section of another: what a recipe is read into."""
    sections = {hint for cls in settings_classes() for hint in field_types(cls).values()}
    return [cls for cls in settings_classes() if cls not in sections]


def _fits(cls: type, recipe: Path) -> bool:
    try:
        load_config(cls, [recipe])
    except UserError:
        return False
    return True


def test_recipes_are_readable_settings_and_say_only_what_differs_from_the_defaults():
    for recipe in sorted(ROOT.glob("*/recipes/*.toml")):
        assert recipe.read_text(encoding="utf-8").startswith("#"), f"{recipe.name} does not begin with what it is for"
        fitting = [cls for cls in _whole_settings() if _fits(cls, recipe)]
        assert fitting, f"{recipe.name} is not readable as any of {_whole_settings()}"
        written = flat(read_toml(recipe))
        for cls in fitting[:1]:
            defaults = flat(to_dict(cls()))
            assert {key for key, value in written.items() if value == defaults[key]} == set(), recipe.name
