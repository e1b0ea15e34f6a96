"""`wsicomp batch restore`: give the sources of a folder of conversions back, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from wsicomp.batch import BatchRestoreOptions, Entry, RestoredTree, State, restore_batch
from wsicomp.cli.batch_progress import SlideTexts, batch_progress
from wsicomp.cli.batch_texts import room_text
from wsicomp.cli.commands import Command
from wsicomp.cli.stopping import stopping
from wsicomp.cli.text import say, show
from wsicomp.config import RunConfig
from wsicomp.options import argument, option
from wsicomp.text.figures import as_bytes, as_duration

_EPILOG = """\
example:
  wsicomp batch slides/ archive/ --preset archive-lossless
  wsicomp batch restore archive/ again/
  diff -r slides/ again/

exit codes:
  0    every source that was asked for is there
  1    one is not: its conversion does not hold it, failed, or had no room
  2    wrong usage
  130  stopped by a signal
"""


@dataclass(frozen=True, kw_only=True)
class RestoreCommandOptions:
    """Arguments of `wsicomp batch restore` besides the options of the work."""

    GROUP: ClassVar = RunConfig.GROUP

    archive: Path = argument("the target tree of a batch, or any folder of conversions")
    target: Path = argument("the tree to write; made if it does not exist", metavar="TARGET_DIR")
    json: bool = option(False, "print a line of JSON for each file and each minute")


def run_batch_restore(options: RestoreCommandOptions, restore_options: BatchRestoreOptions) -> int:
    """Restore the source of every conversion in ARCHIVE that holds it, into a new tree, byte for byte.

    Each file gets the path that its source had, by the ledger of ARCHIVE. Without a ledger it gets the name
    that its conversion states. It appears only when its SHA-256 is that of the source. ARCHIVE is only read.

    A file that is there already with these very bytes is done, so that a rerun does only what is missing. No
    other file is replaced without --overwrite. Conversions that do not hold their source, and slides of the
    ledger that have no conversion, are named with the reason; leave them out by --exclude.

    Ctrl-C or SIGTERM finishes the files at hand and stops. A second one drops them. Nothing half-written
    stays.
    """
    with (
        stopping("wsicomp batch restore", "file") as stop,
        batch_progress(options.json, SlideTexts(_line, _values, "file")) as callbacks,
    ):
        restored = restore_batch(options.archive, options.target, restore_options, callbacks, stop)
    if options.json:
        values = {name: value for name, value in asdict(restored).items() if name != "problems"}
        show(json.dumps({"event": "end", **values}) + "\n")
    else:
        say(_sum_line(options.target, restored))
        if restored.no_room:
            lacking = restored.no_room_needs_bytes, restored.no_room_free_bytes
            say(room_text(*lacking, restore_options.min_free))
    if stop.requests:
        return 130
    return 0 if restored.is_good else 1


def _line(entry: Entry) -> str:
    if entry.state is not State.DONE:
        return f"{entry.source}: {entry.state}, {entry.cause}: {entry.error}"
    how = "found there" if entry.adopted else f"in {as_duration(entry.elapsed_s)}"
    return f"{entry.source}: {as_bytes(entry.source_bytes)}, {how}"


def _values(entry: Entry) -> Mapping[str, Any]:
    names = ("source", "target", "state", "cause", "error", "source_bytes", "elapsed_s")
    return {**{name: getattr(entry, name) for name in names}, "found": entry.adopted}


def _sum_line(target: Path, restored: RestoredTree) -> str:
    counts = {
        "restored": restored.restored,
        "found there already": restored.found,
        "skipped": restored.skipped,
        "failed": restored.failed,
        "not begun: too little space on the disk": restored.no_room,
        "not finished": restored.unfinished - restored.no_room,
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    why = "" if restored.why == "finished" else f"; ended early: {restored.why}"
    return f"{target}: {said}, {as_bytes(restored.bytes)} in {as_duration(restored.elapsed_s)}{why}"


RESTORE = Command(
    "batch restore", (RestoreCommandOptions, BatchRestoreOptions), run_batch_restore, epilog=_EPILOG
)
