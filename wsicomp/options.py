"""Options: each is declared once, for the command line, presets, error messages and docs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from math import inf
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from wsicomp.errors import ConfigError
from wsicomp.text.escaping import quoted

Value: TypeAlias = str | int | float | bool | Path | None
Instance = TypeVar("Instance")
"""A value of an option. None leaves the choice to the codec, the slide or the machine."""

_MOST_WHOLE = 1 << 53
"""Larger whole numbers are refused: a float does not hold them exactly."""

_MOST_BRACED = 24
"""Choices that take more letters are named in the text, and not in the place of the value."""

_KIND_TEXTS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
}


REQUIRED = dataclasses.MISSING
"""The default of what has to be given."""


@dataclass(frozen=True)
class Option:
    """An option that a user can set."""

    name: str
    """The key in a preset and in Python. The command line spells it `--name`, with dashes."""
    kind: type
    """The type of the value: bool, int, float, str or Path."""
    help: str
    """What the option does: a clause without its default, for `--help` and the docs."""
    default: Any = None
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
    group: str = "options"
    """The heading below which `--help` and the docs list it."""
    is_argument: bool = False
    """Whether it stands on the command line without its name."""
    is_output: bool = False
    """Whether it is the path of a file to write, which does not end as that of a folder."""
    is_required: bool = False
    """Whether it has no default, so that it has to be given."""
    takes_many: bool = False
    """Whether its value is a tuple: an option may then be given again, an argument be several words."""
    parse: Callable[[str], object] | None = None
    """Turns a text of the command line into the value, where that takes more than its kind.

    Raises ConfigError, or ValueError where the text is none of its kind.
    """
    default_text: str = ""
    """Its default in words, where the value does not say it."""
    short: str = ""
    """Its one-letter spelling on the command line, such as "-q"."""
    is_rare: bool = False
    """Whether `--help-all` lists it and `--help` does not."""
    suggestions: tuple[str, ...] = ()
    """Texts that a shell offers; others are allowed as well."""
    listed_by: str = ""
    """What lists its choices, in a clause, where they are too many for a line."""

    @property
    def flag(self) -> str:
        """The name on the command line."""
        if self.is_argument:
            return self.metavar or self.name.upper()
        return f"--{self.name.replace('_', '-')}"

    @property
    def shown(self) -> str:
        """The placeholder of its value in `--help`; "" for a switch."""
        if self.kind is bool:
            return ""
        return self._braced or self.metavar or self.name.upper()

    @property
    def _braced(self) -> str:
        braced = f"{{{','.join(self.choices)}}}"
        return braced if 2 < len(braced) <= _MOST_BRACED else ""

    @property
    def kind_text(self) -> str:
        """The kind of its value, in words."""
        return _KIND_TEXTS.get(self.kind, self.shown)

    @property
    def range(self) -> str:
        """The numbers that it takes, in words; "" where it takes any."""
        if self.least is None:
            return ""
        least = _number_text(self.least)
        return f"{least} or more" if self.most is None else f"{least} to {_number_text(self.most)}"

    @property
    def stated_default(self) -> str:
        """Its default in words; "" where it has none, or is a switch."""
        if self.default_text or self.default in (None, ()) or self.kind is bool:
            return self.default_text
        values = self.default if self.takes_many else (self.default,)
        return ", ".join(_number_text(each) if isinstance(each, float) else str(each) for each in values)

    @property
    def meaning(self) -> str:
        """Help, range and default in one clause."""
        choices = f"one of {', '.join(self.choices)}" if self.choices and not self._braced else ""
        choices = self.listed_by or choices
        default = f"default {self.stated_default}" if self.stated_default else ""
        facts = "; ".join(filter(None, (choices, self.range, default)))
        return f"{self.help} ({facts})" if facts else self.help

    def checked(self, value: object, label: str = "") -> Any:
        """Return the value in the option's type; an error calls the option by `label`, else by its name.

        A whole number becomes a float, a text a path and a list a tuple where the option asks for it. Numbers
        of NumPy become Python's.

        >>> Option("quality", int, "on libjpeg's scale", least=1, most=100).checked(90)
        90

        Raises:
            ConfigError: the value does not fit the type, is out of range, or is none of the choices.
        """
        label = label or self.name
        if value is None and self.default is None and not self.is_required:
            return None
        if self.takes_many:
            if not isinstance(value, tuple | list):
                raise ConfigError(f"{label} is {quoted(value)}, expected several")
            return tuple(self._checked(each, label) for each in value)
        return self._checked(value, label)

    def parsed(self, text: object, label: str) -> object:
        """Return the value of a text of the command line; the text itself for an option without `parse`.

        Raises:
            ConfigError: the text is no value of the option; the error calls the option by `label`.
        """
        if self.parse is None or not isinstance(text, str):
            return text
        try:
            return self.parse(text)
        except ConfigError:
            raise
        except ValueError as exc:
            raise ConfigError(f"{label} is {quoted(text)}, expected {self.kind_text}") from exc

    def _checked(self, value: object, label: str) -> Any:
        found: Any = value if self.kind is object else self._typed(value, label)
        if self.choices and found not in self.choices:
            raise ConfigError(f"{label} is {quoted(value)}, {self._expected_of(str(found))}")
        if self.least is not None and not self.least <= found <= (inf if self.most is None else self.most):
            raise ConfigError(f"{label} is {quoted(value)}, expected {self.range}")
        return found

    def _expected_of(self, found: str) -> str:
        near = did_you_mean(found, self.choices)
        if self.listed_by:
            return f"which is none; {self.listed_by}{near}"
        return f"expected one of {', '.join(self.choices)}{near}"

    def _check_output(self, path: str, label: str) -> None:
        if self.is_output and path.endswith("/") and not os.path.isdir(path):  # noqa: PTH112 - Path drops it
            raise ConfigError(f"{label} is {quoted(path)}, a folder that is not there; name a file to write")

    def _typed(self, value: object, label: str) -> Any:
        found = _builtin(value)
        if self.kind is Path:
            path = value.__fspath__() if isinstance(value, os.PathLike) else value
            if isinstance(path, str) and path:
                self._check_output(path, label)
                return Path(path)
        elif type(found) is int and abs(found) >= _MOST_WHOLE:
            pass
        elif type(found) is self.kind:
            return found
        elif self.kind is float and type(found) is int:
            return float(found)
        expected = self.kind.__name__ if label == self.name else self.kind_text
        raise ConfigError(f"{label} is {quoted(value)}, expected {expected}")


def option(
    default: Any,
    help: str,  # noqa: A002 - what all command lines call it
    *,
    name: str = "",
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    metavar: str = "",
    shapes_file: bool = True,
    group: str = "",
    is_argument: bool = False,
    is_output: bool = False,
    parse: Callable[[str], object] | None = None,
    default_text: str = "",
    short: str = "",
    is_rare: bool = False,
    listed_by: str = "",
    suggestions: tuple[str, ...] = (),
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
        "group": group,
        "is_argument": is_argument,
        "is_output": is_output,
        "parse": parse,
        "default_text": default_text,
        "short": short,
        "is_rare": is_rare,
        "listed_by": listed_by,
        "suggestions": suggestions,
    }
    if default is REQUIRED:
        return dataclasses.field(metadata=facts)
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=facts)
    return dataclasses.field(default=default, metadata=facts)


def argument(
    help: str,  # noqa: A002 - as above
    default: Any = REQUIRED,
    *,
    metavar: str = "",
    is_output: bool = False,
) -> Any:
    """Declare a dataclass field as what stands on the command line without a name, in the fields' order."""
    return option(default, help, metavar=metavar, is_argument=True, is_output=is_output)


def same_option(part: Any, name: str, help: str = "") -> Any:  # noqa: A002 - as above
    """Declare a field as the option that another dataclass declares, with another help if one is given."""
    field = part.__dataclass_fields__[name]
    assert field.default is not REQUIRED, "an option with a default"
    facts = {**field.metadata, "help": help or field.metadata["help"]}
    return dataclasses.field(default=field.default, metadata=facts)


@cache
def options_of(part: Any) -> Mapping[str, Option]:
    """Return the options that a dataclass declares, by field name."""
    assert isinstance(part, type), "a dataclass"
    kinds = get_type_hints(part)
    return {
        field.name: _declared(field, kinds[field.name], getattr(part, "GROUP", Option.group))
        for field in dataclasses.fields(part)
        if "help" in field.metadata
    }


def _declared(field: dataclasses.Field[Any], hint: Any, group: str) -> Option:
    facts = dict(field.metadata)
    kind, takes_many = _kind(hint, facts["parse"] is not None)
    is_required = field.default is REQUIRED and field.default_factory is REQUIRED
    facts["name"] = facts["name"] or field.name
    facts["group"] = facts["group"] or group
    default = None if is_required or callable(field.default_factory) else field.default
    return Option(**facts, kind=kind, default=default, is_required=is_required, takes_many=takes_many)


def checked_fields(instance: Any) -> None:
    """Check the options of a new instance of a frozen dataclass, and store their values in their types.

    A whole number becomes a float, a text a path and a list a tuple where the option asks for it.

    Raises:
        ConfigError: a value does not fit the option's type, is out of range, or is none of its choices.
    """
    for field, declared in options_of(instance.__class__).items():
        object.__setattr__(instance, field, declared.checked(getattr(instance, field)))


def unknown_option(name: str, known: tuple[str, ...]) -> ConfigError:
    """Return the error about an option that nobody knows, with the name that was meant."""
    near = did_you_mean(name, known)
    return ConfigError(f"unknown option {quoted(name)}{near}; known are {', '.join(known)}")


def given_instance(kind: type[Instance], value: Instance | None, name: str, expected: str) -> Instance:
    """Return the options that a caller gave as the parameter `name`; the defaults of `kind` for None.

    Raises:
        ConfigError: `value` is of another type; the message says what was `expected`.
    """
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise ConfigError(f"{name} is {value!r:.40}, expected {expected}")
    return value


def did_you_mean(found: str, known: tuple[str, ...]) -> str:
    """Return a hint with the known name that is most like `found`; "" if none is.

    >>> did_you_mean("jpgxl", ("jpeg", "jpegxl"))
    '; did you mean jpegxl?'
    """
    near = get_close_matches(found, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


_OWN: dict[str, Callable[[Any], Any]] = {"b": bool, "i": int, "u": int, "f": float, "U": str}
"""Python's own types for the kinds of NumPy's."""


def _builtin(value: Any) -> Any:
    """Return a number, truth value or text of NumPy as Python's own; other values as they are."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return _OWN[kind](value) if kind in _OWN and value.ndim == 0 else value


def _number_text(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


def _kind(hint: Any, is_parsed: bool) -> tuple[type, bool]:
    """The type of a field's values, and whether it holds many; object where `parse` alone knows."""
    if isinstance(hint, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    if hint in (bool, int, float, str, Path):
        return hint, False
    if is_parsed:
        return object, False
    assert get_origin(hint) is tuple, f"{hint} is no type of an option"
    return get_args(hint)[0], True
