"""What a user can choose about a batch beyond the conversion itself, checked before anything is touched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from wsicomp.batch.throttle import check_pace
from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError
from wsicomp.escaping import quoted
from wsicomp.formats.discovery import Selection

_RANGES: dict[str, tuple[float, float]] = {
    "jobs": (1, 1024),
    "workers": (1, 1024),
    "max_failures": (1, 10**9),
    "limit_rate": (0.001, 10**6),
    "min_free": (0, 10**6),
    "stall_minutes": (0.01, 10_000),
    "quarantine_days": (0, 36_500),
    "min_saving": (0, 100),
}


@dataclass(frozen=True)
class BatchOptions:
    """Each field is an option of `wsicomp batch`.

    `jobs` slides are converted at a time (None: as fit cores and memory), by the Dask cluster at `scheduler`
    if one is named, each by `workers` threads (None: the cores shared among jobs; one on Dask). No slide
    begins after `until`, after `max_failures` failures of this run, or where it would leave less than
    `min_free` GB on the target's disk. `limit_rate` bounds what all jobs together read and write, in MB/s. A
    slide that shows no progress for `stall_minutes` is given up. `recheck` holds every target against its
    SHA-256; `retry_failed` tries again what failed for reasons of its own; `redo_outdated` converts again
    what was made with other defaults or by another version. `delete_source` moves sources
    that their targets replace into a quarantine folder, and deletes them there after `quarantine_days`;
    conversions that cannot restore their source count only with `even_if_lossy`, and none that is larger than
    its source or saves less than `min_saving` per cent of it. `source_moved` says that the source tree has
    another path than before. `name_key` is a file apart from both trees, by which targets are named by
    digests, and which says whose they are.
    """

    jobs: int | None = None
    workers: int | None = None
    scheduler: str | None = None
    until: datetime | None = None
    max_failures: int | None = None
    retry_failed: bool = False
    recheck: bool = False
    redo_outdated: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limit_rate: float | None = None
    min_free: float = 1.0
    stall_minutes: float = 15.0
    delete_source: bool = False
    even_if_lossy: bool = False
    quarantine_days: float = 7.0
    min_saving: float = 3.0
    source_moved: bool = False
    name_key: Path | None = None

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and type(value) not in (int, float):
                raise ConfigError(f"--{name.replace('_', '-')} is {quoted(value)}, expected a number")
            if value is not None and not least <= value <= most:
                option = name.replace("_", "-")
                raise ConfigError(f"--{option} is {quoted(value)}, expected {least:g} to {most:g}")
        if self.limit_rate is not None:
            check_pace()
        if self.even_if_lossy and not self.delete_source:
            raise ConfigError(
                "--even-if-lossy says which sources are deleted; it needs --delete-source-after-verify"
            )

    def selection(self, root: Path) -> Selection:
        """Which files of a source tree are its slides."""
        return Selection(root, self.include, self.exclude)

    def check(self, config: ConversionConfig) -> None:
        """Refuse what does not go with a config.

        Raises:
            ConfigError: so it is.
        """
        if config.tissue.mask is not None:
            raise ConfigError("a mask is of one slide; a batch finds the tissue of each")
        if self.name_key is not None and not config.output.deidentify:
            raise ConfigError("--name-key keeps sources' names out of targets'; it needs --deidentify")
        if not self.delete_source:
            return
        if not config.run.verify:
            raise ConfigError("sources are deleted only after verify; leave --no-verify out")
        if not config.codec.restorable and not self.even_if_lossy:
            raise ConfigError(
                "these conversions cannot restore their sources: take --preset archive-lossless, or say "
                "--even-if-lossy to delete sources all the same"
            )


def next_time(text: str, now: datetime) -> datetime:
    """The next moment at which a clock here shows "HH:MM"; `now` is what it shows, without a zone.

    Raises:
        ConfigError: it is no such time.
    """
    try:
        clock = datetime.strptime(text, "%H:%M")
    except ValueError:
        raise ConfigError(f"--until is {quoted(text)}, expected a time of day as 06:30") from None
    then = now.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
    return (then if then > now else then + timedelta(days=1)).astimezone()
