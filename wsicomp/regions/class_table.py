"""The table that says how each class of region is stored, and in which order classes count.

    [classes]                 # in order of precedence: where classes overlap, the first counts
    Tumor = "copy"
    "Tumor: Positive" = "jpegxl-lossless"
    Stroma = "jpeg:80"
    "*" = ""                  # every other class of the file, as one class "other"; "" is `roi_codec`

    [values]                  # of a label image: the class of each value; several in a list
    Tumor = [1, 2]
    Stroma = 3

    [thresholds]              # of a probability map: the least probability of each class
    Tumor = 0.8
    Stroma = 0.5

Without `"*"` a class of the file that is not in the table is refused. Instead of thresholds a ramp makes
classes whose quality falls with the probability:

    [ramp]
    codec = "jpeg:{}"
    quality = [90, 40]        # of the most and of the least probable class
    probability = [0.9, 0.3]  # the least probability of either
    steps = 4

This module must not know what a codec is: the texts are read where a conversion is planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from wsicomp.errors import ConfigError, MaskError
from wsicomp.files.inputs import read_toml
from wsicomp.text.escaping import quoted

OTHERS = "*"
"""The name in a table that stands for every class that it does not name."""
OTHER = "other"
"""The class of regions for which `OTHERS` stands."""
MOST_CLASSES = 254


@dataclass(frozen=True)
class ClassTable:
    """How each class of region is stored."""

    classes: Mapping[str, str | None]
    """The codec of each class, as a text such as "copy" or "jpeg:80", in order of precedence.

    None leaves it to `roi_codec`. The name `"*"` stands for all others.
    """
    values: Mapping[int, str] = field(default_factory=dict)
    """The class of each value of a label image."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """The least probability of each class of a probability map."""

    def class_of(self, name: str) -> str:
        """Return the class of regions called `name`: that itself, or "other" where `"*"` stands for it.

        Raises:
            MaskError: the table has the name in other capitals, so that the class would be lost among others.
        """
        alike = [each for each in self.classes if each.lower() == name.lower() and each != name]
        if alike and name not in self.classes:
            raise MaskError(f"class {quoted(name)} is {quoted(alike[0])} in the table; write both alike")
        return OTHER if name not in self.classes and OTHERS in self.classes else name

    @property
    def order(self) -> list[str]:
        """The classes in order of precedence."""
        return [OTHER if name == OTHERS else name for name in self.classes]

    def codec(self, name: str) -> str | None:
        """Return the codec of a class, None where the table leaves it open."""
        return self.classes.get(OTHERS if name == OTHER and name not in self.classes else name)


class _Ramp(msgspec.Struct, forbid_unknown_fields=True):
    codec: str
    quality: tuple[float, float]
    probability: tuple[float, float]
    steps: int = 4


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    classes: dict[str, str] = {}
    values: dict[str, int | list[int]] = {}
    thresholds: dict[str, float] = {}
    ramp: _Ramp | None = None


def read_class_table(path: Path) -> ClassTable:
    """Return the table in a TOML file.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or is not such a table.
    """
    values = read_toml(path, ConfigError, "expected a table of classes")
    try:
        table = msgspec.convert(values, _Table)
    except msgspec.ValidationError as exc:
        raise ConfigError(
            f"{exc}; expected [classes], and [values], [thresholds] or [ramp] if needed", path
        ) from exc
    try:
        return _of_ramp(table) if table.ramp else _of_names(table)
    except ConfigError as exc:
        raise ConfigError(exc.message, path) from exc


def _of_names(table: _Table) -> ClassTable:
    if not table.classes:
        raise ConfigError('no class; expected [classes] with lines such as Tumor = "copy"')
    if len(table.classes) > MOST_CLASSES:
        raise ConfigError(f"{len(table.classes)} classes, expected at most {MOST_CLASSES}")
    for name in (*table.values, *table.thresholds):
        if name not in table.classes:
            raise ConfigError(f"{quoted(name)} has a value or threshold, but no line in [classes]; add one")
    _check_thresholds(table.thresholds)
    return ClassTable(
        {name: codec or None for name, codec in table.classes.items()},
        _by_value(table.values),
        table.thresholds,
    )


def _by_value(values: Mapping[str, int | list[int]]) -> dict[int, str]:
    found: dict[int, str] = {}
    for name, given in values.items():
        for value in given if isinstance(given, list) else [given]:
            if value < 1 or found.setdefault(value, name) != name:
                problem = "0 and below are no region" if value < 1 else f"{quoted(found[value])} has it too"
                raise ConfigError(f"[values] {quoted(name)}: value {value}, but {problem}")
    return found


def _check_thresholds(thresholds: Mapping[str, float]) -> None:
    for name, least in thresholds.items():
        if not 0 < least <= 1:
            raise ConfigError(f"[thresholds] {quoted(name)}: {least:g}, expected over 0 and at most 1")


def _of_ramp(table: _Table) -> ClassTable:
    ramp = table.ramp
    assert ramp is not None
    if table.classes or table.thresholds or table.values:
        raise ConfigError("[ramp] beside other tables; it makes the classes, so leave the others out")
    if not 2 <= ramp.steps <= MOST_CLASSES or "{}" not in ramp.codec:
        raise ConfigError("[ramp]: expected steps from 2 to 254, and {} in the codec for the quality")
    parts = [step / (ramp.steps - 1) for step in range(ramp.steps)]
    least = [ramp.probability[0] * (1 - part) + ramp.probability[1] * part for part in parts]
    names = [f"probability {probability:.3g}" for probability in least]
    if least[0] <= least[-1] or len(set(names)) < ramp.steps:
        raise ConfigError("[ramp]: expected the probability to fall from step to step, as [0.9, 0.3] does")
    qualities = [_quality(ramp, part) for part in parts]
    thresholds = dict(zip(names, least, strict=True))
    _check_thresholds(thresholds)
    codecs = (ramp.codec.replace("{}", quality) for quality in qualities)
    return ClassTable(dict(zip(names, codecs, strict=True)), {}, thresholds)


def _quality(ramp: _Ramp, part: float) -> str:
    value = ramp.quality[0] * (1 - part) + ramp.quality[1] * part
    is_whole = all(end == int(end) for end in ramp.quality) and max(ramp.quality) > 10
    return f"{value:.0f}" if is_whole else f"{value:.3g}"
