"""What is tried on every volume: a codec with its settings, by a short text on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsicomp.errors import ConfigError
from wsicomp.options import did_you_mean, options_of
from wsicomp.volumes.config import CODECS, VolumeConfig

EXACT_CODECS = ("jpegxl", "jpegxl+predict", "jpegls", "jpeg2000", "htj2k", "hevc", "zstd", "bz2")
"""Tried on every volume by default: every codec without loss, and the two packers as the baseline."""
LOSSY_CODECS = ("jpeg2000:10x", "jpegxl:90", "hevc:20")
"""Tried on every volume by default, with loss."""
REGION_CODECS = (
    "jpegxl+roi+rest_codec=jpeg+rest_quality=1",
    "jpegxl+roi",
    "hevc+roi_quality=20+rest_quality=40+roi_form=box",
)
"""Tried by default where there is a region: it stays exact, or as the study of regions has it."""
DIFFUSED_CODECS = (
    "hevc:1",
    "jpegxl+diffuse",
    "jpegls+diffuse",
    "jpeg2000+diffuse",
    "bz2+diffuse",
    "hevc:1+diffuse",
)
"""Tried by default where there is an organ's map, outside of which volumes are smoothed."""

_SHARED = ("roi", "diffuse")
"""Options that may stand without a value: it is then the one that all candidates share."""
_OF_REGIONS = (
    "roi_form",
    "roi_margin_mm",
    "roi_labels",
    "roi_quality",
    "roi_resample",
    "rest_codec",
    "rest_quality",
)
_NOT_TRIED = ("codec", "workers", "overwrite", "deidentify")


@dataclass(frozen=True)
class VolumeCandidate:
    """A codec with its settings."""

    label: str
    """The text that named it."""
    values: Mapping[str, Any]
    """The options of `VolumeConfig` that make it; None for those that a source has to supply."""

    def needs(self, name: str) -> bool:
        """Return whether it takes the source's own value of an option, `roi` or `diffuse`."""
        return name in self.values and self.values[name] is None

    def config_values(self, roi: str | None, diffuse: Path | None, workers: int | None) -> dict[str, Any]:
        """Return the options of `VolumeConfig`, as JSON has them, for a source with this region and map.

        Raises:
            ConfigError: it needs a region or a map, and there is none; or two options contradict each other.
        """
        values = {**self.values, "workers": workers}
        for name, given in (("roi", roi), ("diffuse", None if diffuse is None else str(diffuse))):
            if self.needs(name):
                if given is None:
                    raise ConfigError(f"{self.label} needs `{name}`; give one, or leave this candidate out")
                values[name] = given
        _checked(self.label, values)
        return values

    @property
    def plain_label(self) -> str:
        """The label of the same codec without diffusion; "" if it has none."""
        without = self.label.replace("+diffuse", "")
        return without if without != self.label else ""


def parse_candidate(text: str) -> VolumeCandidate:
    """Read `CODEC[:QUALITY][+OPTION[=VALUE]...]`, with the options of `wsicomp volume compress`.

    A quality may end in the unit `dB`, as JPEG 2000 counts it; one that ends in `x` is a rate: so many times
    smaller. An option of regions brings the region that is shared; `+roi` and `+diffuse` alone do so, too.

    >>> dict(parse_candidate("hevc+roi_quality=20+rest_quality=40").values)
    {'codec': 'hevc', 'roi_quality': 20.0, 'rest_quality': 40.0, 'roi': None}

    Raises:
        ConfigError: the text is not of this form.
    """
    text = text.strip()
    head, *options = text.split("+")
    codec, colon, quality = head.partition(":")
    if codec not in CODECS:
        raise ConfigError(
            f"{text}: unknown codec {codec!r}, expected one of {', '.join(CODECS)}"
            f"{did_you_mean(codec, CODECS)}"
        )
    values: dict[str, Any] = {"codec": codec}
    if colon:
        name = "rate" if quality.endswith("x") else "quality"
        values[name] = _read(text, name, quality.removesuffix("x").removesuffix("dB"))
    for each in options:
        name, equals, value = each.partition("=")
        values[name] = _read(text, name, value) if equals else _bare(text, name)
    if "roi" not in values and any(name in values for name in _OF_REGIONS):
        values["roi"] = None
    _checked(
        text, {name: "auto" if name == "roi" and value is None else value for name, value in values.items()}
    )
    return VolumeCandidate(text, values)


def default_candidates(has_region: bool, has_map: bool) -> tuple[VolumeCandidate, ...]:
    """Return what is tried where nothing is named, for volumes with or without regions and organs' maps."""
    labels = [*EXACT_CODECS, *LOSSY_CODECS]
    labels += REGION_CODECS if has_region else ()
    labels += DIFFUSED_CODECS if has_map else ()
    return tuple(map(parse_candidate, labels))


def _bare(text: str, name: str) -> Any:
    """Return the value of an option that stands alone: a switch that is on, or what a source supplies."""
    if name in _SHARED:
        return None
    declared = options_of(VolumeConfig).get(name)
    if declared is None or declared.kind is not bool or name in _NOT_TRIED:
        raise ConfigError(
            f"{text}: {name!r} is no switch; write it as OPTION=VALUE of `wsicomp volume compress`"
        )
    return True


def _read(text: str, name: str, value: str) -> Any:
    """Return an option's value in its own type, as JSON has it.

    Raises:
        ConfigError: there is no such option, or the value is none of its kind or out of its range.
    """
    known = {each: found for each, found in options_of(VolumeConfig).items() if each not in _NOT_TRIED}
    if name not in known:
        near = did_you_mean(name, tuple(known))
        raise ConfigError(
            f"{text}: {name!r} is no option of a candidate, expected one of {', '.join(known)}{near}"
        )
    declared = known[name]
    parts = value.split(",") if declared.takes_many else [value]
    try:
        found = [str(part) if declared.kind is Path else declared.kind(part) for part in parts]
    except ValueError as exc:
        raise ConfigError(f"{text}: {value!r} is not {declared.kind_text}") from exc
    given = found if declared.takes_many else found[0]
    declared.checked(given, f"{text}: {name}")
    return given


def _checked(text: str, values: Mapping[str, Any]) -> None:
    try:
        VolumeConfig(**{name: value for name, value in values.items() if value is not None})
    except ConfigError as exc:
        raise ConfigError(f"{text}: {exc.message}") from exc
