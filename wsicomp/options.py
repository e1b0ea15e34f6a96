"""Options: each is declared once, for the command line, presets, error messages and docs."""

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
"""A value of an option. None leaves the choice to the codec, the slide or the machine."""

_MOST_WHOLE = 1 << 53
"""Larger whole numbers are refused: a float does not hold them exactly."""


@dataclass(frozen=True)
class Option:
    """One option that a user can set."""

    name: str
    """The key in a preset and in Python. The command line spells it `--name`, with dashes."""
    kind: type
    """The type of the value: bool, int, float, str or Path."""
    help: str
    """What the option does: a clause without its default, for `--help` and the docs."""
    default: Value = None
    """The value if none is given. None leaves the choice to the code that reads it."""
    choices: tuple[str, ...] = ()
    """The texts that are allowed; all are if this is empty."""
    least: float | None = None
    """The smallest number allowed; None if there is no range."""
    most: float | None = None
    """The largest number allowed."""
    metavar: str = ""
    """The placeholder of the value in `--help`."""
    shapes_file: bool = True
    """Whether another value gives a target with other bytes."""

    @property
    def flag(self) -> str:
        """The name on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def meaning(self) -> str:
        """Help, range and default in one clause."""
        bounds = "" if self.least is None or self.most is None else f", {self.least:g} to {self.most:g}"
        default = "" if self.default is None or self.kind is bool else f" (default {self.default})"
        return f"{self.help}{bounds}{default}"

    def checked(self, value: object) -> Value:
        """Return the value in the option's type.

        >>> Option("quality", int, "on libjpeg's scale", least=1, most=100).checked(90)
        90

        Raises:
            ConfigError: the value has another type, is out of range, or is none of the choices.
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
    """Declare a dataclass field as an option.

    A callable `default` is called for each new instance. `name` is the option's name if the field has another
    one. The other arguments are fields of `Option`.
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
    """Return the options that a dataclass declares, by field name."""
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
    """Check every option of a new instance of a frozen dataclass, and convert values to their types.

    Raises:
        ConfigError: a value has another type than its option, is out of range, or is none of its choices.
    """
    for field, declared in options_of(instance.__class__).items():
        object.__setattr__(instance, field, declared.checked(getattr(instance, field)))


def did_you_mean(found: str, known: tuple[str, ...]) -> str:
    """Return a hint with the known name that is most like `found`; empty if none is.

    >>> did_you_mean("jpgxl", ("jpeg", "jpegxl"))
    '; did you mean jpegxl?'
    """
    near = get_close_matches(found, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _kind(hint: Any) -> type:
    if isinstance(hint, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    assert isinstance(hint, type), f"{hint} is no type of an option"
    return hint
