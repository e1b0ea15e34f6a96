"""What one option is: what command line, presets, error texts and docs say of it, declared once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeAlias, cast, get_args, get_type_hints

from wsicomp.errors import ConfigError
from wsicomp.escaping import quoted

Value: TypeAlias = str | int | float | bool | Path | None
"""What an option can be set to; None where it may be left to the codec, the slide or the machine."""

_MOST_WHOLE = 1 << 53
"""No number of anything here is as large: a float would not hold it."""


@dataclass(frozen=True)
class Option:
    """One choice of a user."""

    name: str
    """Its key in a preset and in Python; on the command line `--name`, with dashes."""
    kind: type
    """bool, int, float, str or Path."""
    help: str
    """What it does, in a clause for `--help` and the docs, without its default."""
    default: Value = None
    """Its value unless it is given; None leaves it to whoever reads it."""
    choices: tuple[str, ...] = ()
    """The texts that it takes; any if there are none."""
    least: float | None = None
    most: float | None = None
    """The range of a number, both ends included."""
    metavar: str = ""
    """What stands for its value in `--help`."""
    shapes_file: bool = True
    """Whether another value makes other bytes of the target."""

    @property
    def flag(self) -> str:
        """How the command line spells it."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def meaning(self) -> str:
        """What it does, its range and its default, in one clause."""
        bounds = "" if self.least is None or self.most is None else f", {self.least:g} to {self.most:g}"
        default = "" if self.default is None or self.kind is bool else f" (default {self.default})"
        return f"{self.help}{bounds}{default}"

    def checked(self, value: object) -> Value:
        """Return the value in its own type.

        Raises:
            ConfigError: it is of another type, out of range, or none of the choices.
        """
        if value is None and self.default is None:
            return None
        found = self._typed(value)
        if self.choices and found not in self.choices:
            raise ConfigError(
                f"{self.name} is {quoted(value)}, expected one of {', '.join(self.choices)}"
                + did_you_mean(str(found), self.choices)
            )
        if self.least is not None and self.most is not None:
            assert isinstance(found, int | float), "a range is one of numbers"
            if not self.least <= found <= self.most:
                raise ConfigError(f"{self.name} is {quoted(value)}, expected {self.least:g} to {self.most:g}")
        return found

    def _typed(self, value: object) -> Value:
        if self.kind is Path:
            if isinstance(value, str | Path):
                return Path(value)
        elif type(value) is int and abs(value) >= _MOST_WHOLE:
            pass
        elif type(value) is self.kind:
            return cast(Value, value)
        elif self.kind is float and type(value) is int:
            return float(value)
        raise ConfigError(f"{self.name} is {quoted(value)}, expected {self.kind.__name__}")


def option(
    default: Value | object,
    help: str,  # noqa: A002 - what argparse and all that follow it call it
    *,
    name: str = "",
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    metavar: str = "",
    shapes_file: bool = True,
) -> Any:
    """Declare a dataclass field as an option; `name` where the field has another one than the option.

    A callable `default` is called for each new instance.
    """
    facts = {
        "help": help,
        "name": name,
        "choices": choices,
        "least": least,
        "most": most,
        "metavar": metavar,
        "shapes_file": shapes_file,
    }
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=facts)
    return dataclasses.field(default=default, metadata=facts)


@cache
def options_of(part: Any) -> Mapping[str, Option]:
    """The options that a dataclass declares, by the names of their fields."""
    assert isinstance(part, type), "a dataclass"
    kinds = get_type_hints(part)
    return {
        field.name: Option(
            **{
                **field.metadata,
                "name": field.metadata["name"] or field.name,
                "kind": _kind(kinds[field.name]),
                "default": None if callable(field.default_factory) else field.default,
            }
        )
        for field in dataclasses.fields(part)
        if "help" in field.metadata
    }


def checked_fields(instance: Any) -> None:
    """Hold each option of a frozen dataclass's new instance against its declaration.

    Raises:
        ConfigError: one of them does not fit.
    """
    for field, declared in options_of(instance.__class__).items():
        object.__setattr__(instance, field, declared.checked(getattr(instance, field)))


def did_you_mean(found: str, known: tuple[str, ...]) -> str:
    """`"; did you mean jpegxl?"` where a name is much like a known one, else nothing."""
    near = get_close_matches(found, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _kind(hint: Any) -> type:
    if isinstance(hint, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    assert isinstance(hint, type), f"{hint} is no type of an option"
    return hint
