"""JSON of our own files, read into dataclasses: every type and bound is checked, for anyone can write a text.

A class says by its fields what a text must state, and the types here say the bounds.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict, fields
from threading import RLock
from typing import Annotated, Any, NoReturn, TypeAlias, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

Kind = TypeVar("Kind")

Natural: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 32)]
"""A count, or another whole number in [0, 2^32)."""
Side: TypeAlias = Annotated[int, Meta(gt=0, lt=1 << 32)]
"""A side in pixels, in [1, 2^32)."""
Offset: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 61)]
"""A place in a file, or a count of bytes: the sum of two is under 2^62."""
Positive: TypeAlias = Annotated[float, Meta(gt=0, le=sys.float_info.max)]
"""A finite number over 0."""
Figure: TypeAlias = Annotated[int, Meta(ge=-1000, le=1000)] | Annotated[float, Meta(ge=-1000, le=1000)]
"""A number in [-1000, 1000], as codecs measure them or have them as options; a whole one stays int."""
Finite: TypeAlias = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
"""A number that is neither NaN nor infinite."""
Amount: TypeAlias = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
"""A finite number that is not negative."""
Sha256: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""A SHA-256, 64 hexadecimal digits."""

_reading = RLock()
"""Held while msgspec reads: at the first use of a class by two threads at once it crashes (0.22.0)."""
if hasattr(os, "register_at_fork"):
    # A fork waits: its child would find a class that msgspec has half prepared, and crash.
    os.register_at_fork(
        before=_reading.acquire, after_in_parent=_reading.release, after_in_child=_reading.release
    )

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_LONG_VALUE = re.compile("('.{40}).*(')", re.DOTALL)


def parsed(values: object, kind: type[Kind], is_closed: bool = False) -> Kind:
    """Return JSON values as an object of `kind`, a dataclass or another annotated type.

    Names that `kind` does not have are ignored; in the outermost object they are an error if `is_closed`.

    >>> parsed([3, 4], tuple[Natural, ...])
    (3, 4)

    Raises:
        ValueError: a value is missing, of another type or out of its bounds.
    """
    try:
        with _reading:
            found = msgspec.convert(values, kind)
    except msgspec.ValidationError as exc:
        # In our messages backticks stand around parameters, which the command line turns into flags.
        raise ValueError(_LONG_VALUE.sub(r"\1...\2", str(exc)).replace("`", '"')) from exc
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    if is_closed and isinstance(values, dict):
        known = {field.name for field in fields(found)}  # type: ignore[arg-type]
        if unknown := sorted(values.keys() - known):
            raise ValueError(f"an unknown {unknown[0]!r:.40}")
    return found


def parsed_text(text: str | bytes, kind: type[Kind], is_closed: bool = False) -> Kind:
    """Return a JSON text as an object of `kind`, as `parsed` does.

    Texts may hold lone surrogates, as names of files do. NaN and infinity are no JSON.

    Raises:
        ValueError: the text is not JSON, or a value is missing, of another type or out of its bounds.
    """
    return parsed(json_of(text), kind, is_closed)


def parsed_bytes(text: bytes, kind: type[Kind]) -> Kind:
    """Return a JSON text as an object of `kind`, as `parsed_text` does.

    Memory: about that of the object, whatever else the text holds; it is read into the type before anything
    is made of it.

    Raises:
        ValueError: the text is not JSON, or a value is missing, of another type or out of its bounds.
    """
    try:
        with _reading:  # lone surrogates are no error of ours, but one of msgspec's
            msgspec.json.decode(_SURROGATE.sub(rb"\\ufffd", text), type=kind)
    except msgspec.MsgspecError as exc:
        raise ValueError(_LONG_VALUE.sub(r"\1...\2", str(exc)).replace("`", '"')) from exc
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    return parsed_text(text, kind)


def json_of(text: str | bytes) -> Any:
    """Return the values of a JSON text.

    Raises:
        ValueError: the text is not JSON.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc


def plain(value: Any) -> dict[str, Any]:
    """Return a dataclass as JSON values: bytes in base64, NumPy's floats as Python's.

    `asdict` comes first: msgspec leaves out fields that took their defaults when it read the object.

    Raises:
        TypeError: a value has no form in JSON.
    """
    values: dict[str, Any] = msgspec.to_builtins(asdict(value), enc_hook=_as_float)
    return values


def plain_bytes(value: Any) -> bytes:
    """Return a dataclass as a JSON text, as `plain` has its values.

    Raises:
        TypeError: a value has no form in JSON.
    """
    return json.dumps(plain(value), separators=(",", ":")).encode()


def _as_float(value: object) -> float:
    if isinstance(value, np.floating):
        return float(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
