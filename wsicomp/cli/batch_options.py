"""The options that a target tree remembers, as `wsicomp batch` takes them and says so."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from wsicomp.batch import BatchOptions
from wsicomp.batch.options import REMEMBERED
from wsicomp.batch.remembered import (
    FILE,
    changes_text,
    chosen_options,
    options_text,
    read_remembered,
    remembered_options,
    remembered_path,
    values_text,
)
from wsicomp.config import ConversionConfig


def standing_preset(given: Mapping[str, object]) -> Path | None:
    """Return the file of the target tree's options if it has some that are not given; else None.

    Where a preset is given, only those in `REMEMBERED` are taken from it.
    """
    target = given.get("target")
    if not isinstance(target, str | os.PathLike) or not os.fspath(target):
        return None
    return remembered_path(Path(target)) if read_remembered(Path(target)).keys() - given.keys() else None


def options_lines(
    target: Path,
    preset: Path | None,
    config: ConversionConfig,
    options: BatchOptions,
    remembers: bool,
) -> Iterator[str]:
    """Yield lines about options that come from the target tree, or that this run `remembers` in it."""
    if remembered_path(target) is None:
        return
    before, now = chosen_options(*remembered_options(target)), chosen_options(config, options)
    if changes := changes_text(before, now):
        yield f"other options than in {target / FILE}: {changes}"
        if remembers:
            yield "these are remembered for later runs; give others, or edit that file, to take them back"
    elif preset == target / FILE:
        yield f"options of {preset}: {options_text(now)}"
    kept = {name: now[name] for name in REMEMBERED if name in now and now[name] == before.get(name)}
    if kept and preset != target / FILE:
        yield f"as in {target / FILE}: {values_text(kept)}"
