"""Settings of training runs in TOML files: read once, every value held against its default's type."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from wsicomp.errors import TrainingError

Settings = TypeVar("Settings")


def load_toml(path: Path, kind: type[Settings]) -> Settings:
    """A dataclass of settings from a TOML file; fields that are dataclasses themselves are its tables.

    Raises:
        TrainingError: it cannot be read, or a setting is unknown or of the wrong type.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise TrainingError(f"cannot be read ({exc.strerror})", path) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise TrainingError(f"not TOML ({exc})", path) from exc
    try:
        return cast(Settings, _filled(kind, values, ""))
    except TrainingError as exc:
        raise TrainingError(exc.message, path) from exc


def _filled(kind: Any, values: Mapping[str, Any], prefix: str) -> Any:
    known = {entry.name: entry for entry in fields(kind)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise TrainingError(f"unknown setting {prefix}{unknown[0]}; known are {', '.join(known)}")
    default = kind()
    return kind(
        **{name: _checked(f"{prefix}{name}", value, getattr(default, name)) for name, value in values.items()}
    )


def _checked(name: str, value: Any, like: Any) -> Any:
    """The value if it is of the kind of `like`, a default."""
    if is_dataclass(like):
        if not isinstance(value, Mapping):
            raise TrainingError(f"{name} is {value!r}, expected a table")
        return _filled(type(like), value, f"{name}.")
    if isinstance(like, tuple):
        kind = type(like[0]) if like else str
        if not isinstance(value, list) or not all(type(part) is kind for part in value):
            raise TrainingError(f"{name} is {value!r}, expected a list of {kind.__name__}")
        return tuple(value)
    if isinstance(like, float):
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            raise TrainingError(f"{name} is {value!r}, expected a number from 0")
        return float(value)
    if isinstance(like, Mapping):
        if not isinstance(value, Mapping):
            raise TrainingError(f"{name} is {value!r}, expected a table")
        return {_power(key): _checked(f"{name}.{key}", weight, 0.0) for key, weight in value.items()}
    if type(value) is not type(like):
        raise TrainingError(f"{name} is {value!r}, expected {type(like).__name__}")
    return value


def _power(key: str) -> str:
    try:
        return f"{float(key):g}"
    except ValueError:
        raise TrainingError(f"power_weights names {key!r}, expected a magnification as 2.5") from None
