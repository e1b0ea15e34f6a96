"""The options of a comparison of volumes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from wsicomp.errors import ConfigError
from wsicomp.options import checked_fields, option
from wsicomp.text.figures import counted
from wsicomp.volumes.comparison.candidates import VolumeCandidate, default_candidates, parse_candidate
from wsicomp.volumes.config import VolumeConfig

Given = TypeVar("Given", str, Path)


@dataclass(frozen=True, kw_only=True)
class VolumeComparisonOptions:
    """What is tried on volumes, and what the page shows of them.

    Raises:
        ConfigError: a value is out of its range, or names no candidate.
    """

    GROUP: ClassVar = "what is compared"

    codec: tuple[str, ...] = option(
        (),
        "try this codec with these settings; give it again for more of them; see the list below",
        metavar="CODEC",
        default_text="each codec without loss, some with loss, and with a region or map those for it",
    )
    roi: tuple[str, ...] = option(
        (),
        "candidates with regions keep this one: a volume of labels, `auto` for the body, or `sam`; one for "
        "all volumes, or one for each in their order",
        metavar="LABELS",
    )
    diffuse: tuple[Path, ...] = option(
        (),
        "candidates with diffusion smooth what is outside this organ: a volume of its probability, or of "
        "labels; one for all volumes, or one for each in their order",
        metavar="PROBABILITY",
    )
    modality: str | None = option(
        None,
        "what volumes are that do not say it; for CT the peak of PSNR is 4096, else the range of the values",
        choices=("CT", "MR"),
        default_text="CT where values reach those of air, -500 Hounsfield units",
    )
    shown_slices: int = option(
        32, "show at most so many slices of each volume on the page", metavar="N", least=1, most=4096
    )
    workers: int | None = option(
        None, "use so many threads", metavar="N", least=1, most=256, default_text="one a core", group="output"
    )
    overwrite: bool = option(False, "write into DIR though it is not empty", group="output")

    def __post_init__(self) -> None:
        checked_fields(self)
        _ = self.candidates
        for roi in self.roi:
            VolumeConfig(roi=roi)

    @property
    def candidates(self) -> tuple[VolumeCandidate, ...]:
        """What is tried, each once."""
        if not self.codec:
            return default_candidates(bool(self.roi), bool(self.diffuse))
        found = {each.label: each for each in map(parse_candidate, self.codec)}
        return tuple(found.values())

    def check_for(self, count: int) -> None:
        """Check that regions and maps go with `count` volumes, and that all candidates have what they need.

        Raises:
            ConfigError: they do not.
        """
        for name in ("roi", "diffuse"):
            given = len(getattr(self, name))
            if given > 1 and given != count:
                raise ConfigError(
                    f"`{name}` was given {given} times for {counted(count, 'volume')}; "
                    "expected once, or once for each"
                )
            lacking = [each.label for each in self.candidates if each.needs(name)]
            if lacking and not given:
                raise ConfigError(f"{lacking[0]} needs `{name}`; give it, or leave this candidate out")

    def roi_of(self, number: int) -> str | None:
        """Return the region of the volume with this place among the sources; None for none."""
        return _of_one(self.roi, number)

    def map_of(self, number: int) -> Path | None:
        """Return the organ's map of the volume with this place among the sources; None for none."""
        return _of_one(self.diffuse, number)


def _of_one(given: tuple[Given, ...], number: int) -> Given | None:
    if not given:
        return None
    return given[number] if len(given) > 1 else given[0]
