"""The options of a batch beyond those of a conversion, checked before anything is touched."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

from wsicomp.batch.throttle import check_rate_limit
from wsicomp.config import ConversionConfig, RunConfig
from wsicomp.conversion.archive_form import can_pack
from wsicomp.conversion.region_files import has_folder_of_regions
from wsicomp.errors import ConfigError
from wsicomp.formats.discovery import Selection
from wsicomp.options import checked_fields, option
from wsicomp.text.escaping import quoted

_TREE = "which slides"
_REMOVAL = "taking away sources, those alone that were read once more, whole, with their target"
REMEMBERED = ("include", "exclude", "carry_others", "name_key", "quarantine_days", "min_saving")
"""The options of a batch that its target tree remembers; a preset may hold them, too."""


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
    """The options of a batch, beyond those of converting each slide."""

    GROUP: ClassVar = RunConfig.GROUP

    include: tuple[str, ...] = option(
        (),
        "convert only files whose name or path in SOURCE_DIR matches; may be repeated; by default files "
        "with a slide's suffix",
        metavar="GLOB",
        group=_TREE,
    )
    exclude: tuple[str, ...] = option(
        (), "leave out files that match, such as 'old/*'; may be repeated", metavar="GLOB", group=_TREE
    )
    files_from: Path | None = option(
        None,
        "convert only the slides that FILE lists, a path a line or between NULs, absolute or in SOURCE_DIR; "
        "- for stdin",
        metavar="FILE",
        group=_TREE,
    )
    carry_others: bool = option(
        False,
        "copy files that are no slides, and slides that cannot be converted, into TARGET_DIR as they are",
        group=_TREE,
    )
    retry_failed: bool = option(
        False, "try again slides that failed by their own fault, such as damage", group=_TREE
    )
    recheck: bool = option(
        False, "read every target and compare its SHA-256; convert damaged ones again", group=_TREE
    )
    redo_outdated: bool = option(
        False,
        "convert again what other defaults or an older version made",
        group=_TREE,
        is_rare=True,
    )
    reconvert: bool = option(
        False,
        "convert again finished slides that other options made, and replace their conversions; else a run "
        "with other options is refused",
        group=_TREE,
    )
    source_moved: bool = option(
        False,
        "take SOURCE_DIR for the tree of earlier runs, though its path is another",
        group=_TREE,
        is_rare=True,
    )
    name_key: Path | None = option(
        None,
        "name targets by digests, with --deidentify; FILE says whose they are and lies outside both trees",
        metavar="FILE",
        group=_TREE,
        is_rare=True,
    )
    jobs: int | None = option(
        None,
        "convert so many slides at a time",
        least=1,
        most=1024,
        metavar="N",
        default_text="as many as fit the cores and the memory",
    )
    workers: int | None = option(
        None,
        "use so many threads for each slide",
        least=1,
        most=1024,
        metavar="N",
        default_text="the cores shared among jobs; on Dask one",
        is_rare=True,
    )
    scheduler: str | None = option(
        None,
        "let the workers of a Dask scheduler convert, such as tcp://HOST:8786; needs pip install "
        "'wsicomp[distributed]'",
        metavar="ADDRESS",
    )
    until: datetime | None = option(
        None, "begin no slide after this time of day, local time", metavar="HH:MM", parse=next_time
    )
    max_failures: int | None = option(
        None,
        "begin no slide after so many failures in this run",
        least=1,
        most=10**9,
        metavar="N",
        is_rare=True,
    )
    limit_rate: float | None = option(
        None,
        "read and write at most so many MB in a second, all jobs together",
        least=0.001,
        most=10**6,
        metavar="MB/s",
    )
    min_free: float = option(
        1.0,
        "begin no slide that could leave fewer GB free on TARGET_DIR's disk",
        least=0,
        most=10**6,
        metavar="GB",
    )
    stall_minutes: float = option(
        15.0,
        "give up a slide that shows no progress for so many minutes",
        least=0.01,
        most=10_000,
        metavar="N",
        is_rare=True,
    )
    delete_source: bool = option(
        False,
        "move sources that can be restored from their targets to SOURCE_DIR/.wsicomp-quarantine, delete "
        "them later",
        name="delete_source_after_verify",
        group=_REMOVAL,
    )
    even_if_lossy: bool = option(False, "take away sources too that cannot be restored", group=_REMOVAL)
    quarantine_days: float = option(
        7.0,
        "prove sources once more and delete them, in a run after so many days; 0: in this run",
        least=0,
        most=36_500,
        metavar="N",
        group=_REMOVAL,
    )
    min_saving: float = option(
        3.0,
        "keep a source whose conversion saves less than this; a preset may set it",
        least=0,
        most=100,
        metavar="PERCENT",
        parse=_percent,
        group=_REMOVAL,
    )

    listed: frozenset[str] | None = None
    """The slides that `files_from` lists, as their paths in the source tree; the run reads them once."""

    def __post_init__(self) -> None:
        checked_fields(self)
        if self.files_from is not None and self.include:
            raise ConfigError("`files_from` lists the slides; leave `include` out, in wsicomp.toml as well")
        if self.limit_rate is not None:
            check_rate_limit()
        if self.even_if_lossy and not self.delete_source:
            raise ConfigError("`even_if_lossy` says which sources are deleted; it needs `delete_source=True`")

    def selection(self, root: Path, config: ConversionConfig) -> Selection:
        """Return the rule by which files of the source tree `root` are its slides, for a batch's config."""
        return Selection(root, self.include, self.exclude, self.listed, can_pack(config))

    def check(self, config: ConversionConfig) -> None:
        """Check that these options go together with a conversion's.

        Raises:
            ConfigError: two options contradict each other.
        """
        if config.tissue.mask is not None:
            raise ConfigError("`mask` is of one slide, and a batch finds the tissue of each; leave it out")
        self._check_regions(config)
        if self.carry_others and config.output.deidentify:
            raise ConfigError(
                "`carry_others` copies files with every name in them, which `deidentify=True` leaves out; "
                "take one of the two"
            )
        if self.name_key is not None and not config.output.deidentify:
            raise ConfigError(
                "`name_key` keeps sources' names out of targets' names; it needs `deidentify=True`, or leave "
                "it out, in wsicomp.toml as well"
            )
        if not self.delete_source:
            return
        if not config.run.verify:
            raise ConfigError(
                "sources are deleted only after their conversion is verified; leave `verify=False` out"
            )
        if not config.codec.restorable and not self.even_if_lossy:
            raise ConfigError(
                "these conversions cannot restore their sources: take preset archive-lossless, or give "
                "`even_if_lossy=True` to delete the sources all the same"
            )

    def _check_regions(self, config: ConversionConfig) -> None:
        regions = config.regions
        if regions.roi is None or regions.word == "tissue" or has_folder_of_regions(config):
            return
        found = "is for one slide" if regions.word else "is a file, of one slide"
        if not regions.word and not os.path.lexists(regions.roi):
            found = f"is {quoted(str(regions.roi))}, and there is no such folder"
        raise ConfigError(
            f'`roi` {found}; take `roi="tissue"`, or a folder that has for each slide, as a/b.svs, a file of '
            "regions, as a/b.geojson"
        )
