"""Settings as frozen dataclasses: TOML in, `-o section.key=value` on top, a fingerprint out.

A settings class is a frozen, keyword-only dataclass whose fields are made with `setting`, so that every
value carries the sentence that explains it. Classes are defined next to the code that reads them, and can be nested.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import json
import os
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

from actionpose.errors import UserError
from actionpose.files import require_file

T = TypeVar("T")


def setting(default: Any, doc: str) -> Any:
    """A field that knows what it means; `doc` also says what the paper says, or that it is silent."""
    return dataclasses.field(default=default, metadata={"doc": doc})


def section(cls: type, doc: str) -> Any:
    """A nested settings class with its own defaults."""
    return dataclasses.field(default_factory=cls, metadata={"doc": doc})


def at_least(config: Any, least: float, *names: str) -> None:
    """For `__post_init__`: raise ValueError that names the first of these fields whose value is smaller."""
    for name in names:
        if not getattr(config, name) >= least:
            raise ValueError(f"{name}={getattr(config, name)} must be at least {least:g}")


def above(config: Any, bound: float, *names: str) -> None:
    """The same for fields that must be greater than the bound."""
    for name in names:
        if not getattr(config, name) > bound:
            raise ValueError(f"{name}={getattr(config, name)} must be greater than {bound:g}")


def shares(config: Any, *names: str) -> None:
    """The same for fields that must lie between 0 and 1."""
    for name in names:
        if not 0 <= getattr(config, name) <= 1:
            raise ValueError(f"{name}={getattr(config, name)} must be a share, from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Resolved(Generic[T]):
    """Settings together with where each value came from (`default`, a file's name, or `-o`)."""

    value: T
    origins: dict[str, str]


# --- to plain data and back -------------------------------------------------------------------


def to_dict(config: Any) -> dict[str, Any]:
    """Plain nested dict of JSON types; tuples become lists."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls: type[T], data: Mapping[str, Any], *, where: str = "settings") -> T:
    """Build `cls` from plain data, refusing unknown keys and wrong types by name.

    Raises:
        UserError: a key `cls` does not have (with the nearest it has), a value of the wrong type, or one
            that the class itself refuses.
    """
    hints = field_types(cast(Any, cls))
    for key in data:
        if key not in hints:
            raise UserError(f"{where}: there is no setting '{key}'", _suggest(key, hints))
    values = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in data.items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


@functools.cache
def field_types(cls: Any) -> dict[str, Any]:
    """Field name → type; cached, since manifests ask once per row."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _suggest(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else "known: " + ", ".join(sorted(known))


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise UserError(f"{where} is a section, not the value {value!r}", "give its keys: section.key=value")
        return from_dict(hint, value, where=where)  # type: ignore[arg-type]
    if origin in (typing.Union, types.UnionType):
        if value is None or value == "none":
            return None
        return _convert(next(a for a in args if a is not type(None)), value, where)
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in args):  # 1 is not True
            raise UserError(f"{where} cannot be {value!r}", "choose from " + ", ".join(map(str, args)))
        return value
    if origin in (tuple, list):
        if not isinstance(value, list | tuple):
            raise UserError(f"{where} is a list, not {value!r}", 'write it as ["a", "b"]')
        return origin(_convert(args[0], item, where) for item in value)
    return _scalar(hint, value, where)


def _scalar(hint: type, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    kind = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(hint, str(hint))
    hint_quotes = "put it in quotes, inside those of the shell: 'key=\"20\"'" if hint is str else ""
    raise UserError(f"{where} must be {kind}, not {value!r}", hint_quotes)


# --- files and the command line ---------------------------------------------------------------


def load_config(cls: type[T], files: Iterable[str | os.PathLike[str]] = (), overrides: Iterable[str] = ()) -> T:
    """Defaults, then TOML files in order, then `section.key=value` strings. See `resolve` for origins."""
    return resolve(cls, files, overrides).value


def resolve(cls: type[T], files: Iterable[str | os.PathLike[str]] = (), overrides: Iterable[str] = ()) -> Resolved[T]:
    """Like `load_config`, and remember where each value came from.

    Raises:
        UserError: a file that is missing or not TOML, an override that is not `key=value`, an unknown key.
    """
    data: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for file in files:
        table = read_toml(file)
        _merge(data, table, origins, str(file))
    for text in overrides:
        key, value = parse_override(text)
        check_key(cls, key)
        _merge(data, _nested(key, value), origins, "-o")
    value = from_dict(cls, data, where="settings")
    return Resolved(value=value, origins={key: origins.get(key, "default") for key in flat(to_dict(value))})


def read_toml(file: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UserError: the file is missing or not valid TOML.
    """
    try:
        if not Path(file).exists():
            raise UserError(f"there is no settings file {file}", "check the path after -c")
        require_file(file, "check the path after -c")
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
        raise UserError(f"{file} is not valid TOML: {error}") from error


def parse_override(text: str) -> tuple[str, Any]:
    """Split `section.key=value`; the value is read as TOML, or as plain text if it is not TOML."""
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise UserError(
            f"-o {text}: not of the form section.key=value", f"-o changes one setting; where to write is --out {text}"
        )
    try:
        return key.strip(), tomllib.loads(f"v = {raw}")["v"]
    except (ValueError, RecursionError):
        return key.strip(), raw.strip()


def check_key(cls: Any, key: str) -> None:
    """Refuse a dotted key that does not exist, naming the nearest one that does."""
    known = list(flat(to_dict(cls())))
    sections = {name.rpartition(".")[0] for name in known}
    if key not in known and key not in sections:
        raise UserError(f"there is no setting '{key}'", _suggest(key, known))


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _merge(into: dict[str, Any], table: Mapping[str, Any], origins: dict[str, str], origin: str, at: str = "") -> None:
    for key, value in table.items():
        if isinstance(value, Mapping):
            inner = into.setdefault(key, {})
            if isinstance(inner, dict):
                _merge(inner, value, origins, origin, f"{at}{key}.")
                continue
        into[key] = value
        origins[at + key] = origin


def flat(data: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    out: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            out.update(flat(value, f"{at}{key}."))
        else:
            out[at + key] = value
    return out


def docs(cls: Any, at: str = "") -> dict[str, str]:
    """Dotted key → the sentence that explains it."""
    out: dict[str, str] = {}
    for field in dataclasses.fields(cls):
        hint = field_types(cls)[field.name]
        if dataclasses.is_dataclass(hint):
            out.update(docs(hint, f"{at}{field.name}."))
        else:
            out[at + field.name] = field.metadata.get("doc", "")
    return out


def to_toml(config: Any, origins: Mapping[str, str] | None = None, *, explain: bool = False) -> str:
    """TOML text that `load_config` reads back to an equal value.

    `origins` adds where a value came from when it is not the default; `explain` adds each field's sentence.
    None has no TOML form and is written as the text "none", which optional fields read back as None.
    """
    explained = docs(type(config)) if explain else {}
    lines: list[str] = []
    _toml_table(to_dict(config), "", lines, origins or {}, explained)
    return "\n".join(lines).strip() + "\n"


def _toml_table(
    table: Mapping[str, Any],
    at: str,
    lines: list[str],
    origins: Mapping[str, str],
    explained: Mapping[str, str],
) -> None:
    for key, value in table.items():
        if isinstance(value, Mapping):
            continue
        if explained.get(at + key):
            lines.append(f"# {explained[at + key]}")
        origin = origins.get(at + key, "default")
        note = "" if origin == "default" else f"  # {origin}"
        lines.append(f"{key} = {_toml_value('none' if value is None else value)}{note}")
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{at}{key}]"]
            _toml_table(value, f"{at}{key}.", lines, origins, explained)


def _toml_value(value: Any) -> str:
    # A JSON value is a TOML value, except for one character that TOML requires to be escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


# --- identity ---------------------------------------------------------------------------------


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no blanks: equal data, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(value: Any) -> str:
    """`sha256:<hex>` of the canonical JSON."""
    return "sha256:" + hashlib.sha256(canonical_json(value).encode("utf-8", "backslashreplace")).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line per dotted key whose value differs: `views: was ["front"], now ["front", "side"]`."""
    before, after = flat(old), flat(new)
    lines = []
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            was, now = (json.dumps(side.get(key), ensure_ascii=False) for side in (before, after))
            lines.append(f"{key}: was {was}, now {now}")
    return lines
