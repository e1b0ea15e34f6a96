"""The options of a batch beyond those of a conversion, checked before anything is touched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

from wsicomp.batch.throttle import check_rate_limit
from wsicomp.config import ConversionConfig, RunConfig
from wsicomp.errors import ConfigError
from wsicomp.formats.discovery import Selection
from wsicomp.options import checked_fields, option
from wsicomp.text.escaping import quoted

_TREE = "which slides"
_REMOVAL = "taking away sources, those alone that were read once more, whole, with their target"


def _percent(text: str) -> float:
    """Return a number in per cent, with or without the sign."""
    return float(text.strip().removesuffix("%"))


def next_time(text: str, now: datetime | None = None) -> datetime:
    """Return the next moment at which a clock here shows "HH:MM".

    `now` is local time without a zone, by default what the clock shows.

    Raises:
        ConfigError: the text is no time of day.
    """
    try:
        clock = datetime.strptime(text, "%H:%M")
    except ValueError:
        raise ConfigError(f"`until` is {quoted(text)}, expected a time of day such as 06:30") from None
    now = now or datetime.now()
    then = now.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
    return (then if then > now else then + timedelta(days=1)).astimezone()


@dataclass(frozen=True)
class BatchOptions:
    """What a batch does beyond converting each slide."""

    GROUP: ClassVar = RunConfig.GROUP

    include: tuple[str, ...] = option(
        (),
        "only files whose name or path in SOURCE_DIR matches; may come again; by default those that have a "
        "slide's suffix",
        metavar="GLOB",
        group=_TREE,
    )
    exclude: tuple[str, ...] = option(
        (), "not those that match, as 'old/*'; may come again", metavar="GLOB", group=_TREE
    )
    retry_failed: bool = option(False, "try again what failed for reasons of its own, as damage", group=_TREE)
    recheck: bool = option(
        False, "hold every target against its SHA-256; make damaged ones again", group=_TREE
    )
    redo_outdated: bool = option(
        False, "convert again what was made with other defaults or by an older version", group=_TREE
    )
    source_moved: bool = option(False, "SOURCE_DIR is the same tree as before by another path", group=_TREE)
    name_key: Path | None = option(
        None,
        "with --deidentify: name targets by digests; FILE, apart from both trees, says whose",
        metavar="FILE",
        group=_TREE,
    )
    jobs: int | None = option(
        None,
        "slides at a time",
        least=1,
        most=1024,
        metavar="N",
        default_text="as many as fit the cores and the memory",
    )
    workers: int | None = option(
        None,
        "threads a slide",
        least=1,
        most=1024,
        metavar="N",
        default_text="the cores shared among jobs; on Dask one",
    )
    scheduler: str | None = option(
        None,
        "a Dask scheduler, tcp://HOST:8786, whose workers convert; pip install 'wsicomp[distributed]'",
        metavar="ADDRESS",
    )
    until: datetime | None = option(
        None, "begin no slide after this time of day", metavar="HH:MM", parse=next_time
    )
    max_failures: int | None = option(
        None, "begin none after so many have failed in this run", least=1, most=10**9, metavar="N"
    )
    limit_rate: float | None = option(
        None, "what all jobs together read and write at most", least=0.001, most=10**6, metavar="MB/s"
    )
    min_free: float = option(
        1.0, "begin no slide that could leave less on TARGET_DIR's disk", least=0, most=10**6, metavar="GB"
    )
    stall_minutes: float = option(
        15.0, "give up a slide that shows no progress for so long", least=0.01, most=10_000, metavar="N"
    )
    delete_source: bool = option(
        False,
        "move sources that their targets can restore to SOURCE_DIR/.wsicomp-quarantine, delete later",
        name="delete_source_after_verify",
        group=_REMOVAL,
    )
    even_if_lossy: bool = option(False, "also those that their targets cannot restore", group=_REMOVAL)
    quarantine_days: float = option(
        7.0,
        "delete them, proved once more, by a run after so many days; 0: in this run",
        least=0,
        most=36_500,
        metavar="N",
        group=_REMOVAL,
    )
    min_saving: float = option(
        3.0,
        "a source stays whose conversion saves less of it, or is larger; a preset may hold it",
        least=0,
        most=100,
        metavar="PERCENT",
        parse=_percent,
        group=_REMOVAL,
    )

    def __post_init__(self) -> None:
        checked_fields(self)
        if self.limit_rate is not None:
            check_rate_limit()
        if self.even_if_lossy and not self.delete_source:
            raise ConfigError("`even_if_lossy` says which sources are deleted; it needs `delete_source`")

    def selection(self, root: Path) -> Selection:
        """Return which files of a source tree are its slides."""
        return Selection(root, self.include, self.exclude)

    def check(self, config: ConversionConfig) -> None:
        """Check that these options go together with a conversion's.

        Raises:
            ConfigError: two options contradict each other.
        """
        if config.tissue.mask is not None:
            raise ConfigError("`mask` is of one slide, and a batch finds the tissue of each; leave it out")
        if self.name_key is not None and not config.output.deidentify:
            raise ConfigError("`name_key` keeps sources' names out of targets' names; it needs `deidentify`")
        if not self.delete_source:
            return
        if not config.run.verify:
            raise ConfigError(
                "sources are deleted only after their conversion is verified; do not switch off `verify`"
            )
        if not config.codec.restorable and not self.even_if_lossy:
            raise ConfigError(
                "these conversions cannot restore their sources: take preset archive-lossless, or give "
                "`even_if_lossy` to delete the sources all the same"
            )
