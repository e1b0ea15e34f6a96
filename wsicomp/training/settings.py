"""Settings that all training runs share, and how they are read from TOML.

Every value is checked against the type of its default.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from wsicomp.errors import TrainingError
from wsicomp.files.inputs import read_toml
from wsicomp.text.escaping import quoted

SCHEDULES = ("constant", "cosine")
_MOST = 1e300


@dataclass(frozen=True)
class RunSettings:
    """The settings that the runs of all networks share."""

    patches: tuple[Path, ...] = ()
    """Patch sets."""
    validation_groups: tuple[str, ...] = ()
    """Groups of sources that validate, and are not learnt from."""
    held_out_groups: tuple[str, ...] = ()
    """Groups of sources that take no part."""
    spare_test: bool = True
    """Whether sources of split "test" take no part."""
    licensed_only: bool = True
    """Whether sources that weights may not train on take no part."""
    seed: int = 1
    """The seed of everything that is random."""
    crop_px: int = 256
    """The side of a crop."""
    batch: int = 8
    """Crops at a time."""
    learning_rate: float = 1e-4
    """The learning rate at the run's beginning."""
    schedule: str = "constant"
    """One of `SCHEDULES`: how the learning rate changes."""
    power_weights: Mapping[str, float] = field(default_factory=dict)
    """The share of crops of each magnification; equal shares where it is empty."""

    def expectations(self) -> dict[str, bool]:
        """Return each expectation of the values, in words, and whether it holds."""
        weights = self.power_weights.values()
        return {
            "patches names at least one patch set; make one with `wsicomp dataset build`": bool(self.patches),
            f"schedule is one of {', '.join(SCHEDULES)}": self.schedule in SCHEDULES,
            "batch is 1 or more": self.batch >= 1,
            "seed is 0 or more": self.seed >= 0,
            "power_weights are not all 0": not weights or any(weights),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain


Settings = TypeVar("Settings", bound=RunSettings)
AnySettings = TypeVar("AnySettings")


def load_settings(path: Path, kind: type[Settings]) -> Settings:
    """Read a run's TOML file into `kind`; fields that are dataclasses are tables of the file.

    Relative paths count from the current folder.

    Raises:
        TrainingError: the file cannot be read, or a setting is unknown, of the wrong type or out of range.
    """
    filled = filled_settings(path, kind)
    settings = replace(filled, patches=tuple(Path(name) for name in filled.patches))
    check_expectations(settings.expectations(), path)
    return settings


def filled_settings(path: Path, kind: type[AnySettings]) -> AnySettings:
    """Read a TOML file into a dataclass of settings, all of which have defaults.

    Raises:
        TrainingError: the file cannot be read, or a setting is unknown or of the wrong type.
    """
    values = read_toml(path, TrainingError)
    try:
        return cast(AnySettings, _filled(kind, values, ""))
    except TrainingError as exc:
        raise TrainingError(exc.message, path) from exc


def check_expectations(expectations: Mapping[str, bool], path: Path) -> None:
    """Refuse settings that break an expectation, by the words that state it.

    Raises:
        TrainingError: one does not hold.
    """
    for message, holds in expectations.items():
        if not holds:
            raise TrainingError(f"expected: {message}", path)


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
    """Return `value` where it has the type of `like`, the default."""
    if is_dataclass(like):
        if not isinstance(value, Mapping):
            raise TrainingError(f"{name} is {quoted(value)}, expected a table")
        return _filled(type(like), value, f"{name}.")
    if isinstance(like, tuple):
        kind = type(like[0]) if like else str
        if not isinstance(value, list) or not all(type(part) is kind for part in value):
            raise TrainingError(f"{name} is {quoted(value)}, expected a list of {kind.__name__}")
        return tuple(value)
    if isinstance(like, float):
        if type(value) not in (int, float) or not 0 <= value < _MOST:
            raise TrainingError(f"{name} is {quoted(value)}, expected a number from 0")
        return float(value)
    if isinstance(like, Mapping):
        if not isinstance(value, Mapping):
            raise TrainingError(f"{name} is {quoted(value)}, expected a table")
        return {_power(key): _checked(f"{name}.{key}", weight, 0.0) for key, weight in value.items()}
    if type(value) is not type(like):
        raise TrainingError(f"{name} is {quoted(value)}, expected {type(like).__name__}")
    return value


def _power(key: str) -> str:
    try:
        return f"{float(key):g}"
    except ValueError:
        raise TrainingError(f"power_weights names {quoted(key)}, expected a magnification as 2.5") from None
