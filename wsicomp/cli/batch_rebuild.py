"""`wsicomp batch rebuild`: write a ledger anew from the targets, where it is lost or cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsicomp.batch.rebuild import RebuiltLedger, rebuild_ledger
from wsicomp.cli.commands import Command
from wsicomp.cli.text import say, write_json
from wsicomp.options import argument, option
from wsicomp.text.figures import counted


@dataclass(frozen=True, kw_only=True)
class RebuildOptions:
    """Arguments of `wsicomp batch rebuild`."""

    target: Path = argument("the target tree of a batch", metavar="TARGET_DIR")
    even_if_sound: bool = option(False, "make it anew even if the old one can be read")
    json: bool = option(False, "print JSON")


def run_rebuild(options: RebuildOptions) -> int:
    """Make a lost or damaged ledger of TARGET_DIR anew, from what its targets say of themselves.

    Every conversion in the tree is read and its SHA-256 taken. Slides and conversions are not changed.
    The old ledger is moved aside. The next batch compares each conversion with its source before it
    counts as done, and no source is taken away without the usual proof. The source tree keeps who has
    looked at which slide, and how long sources are in quarantine.
    """
    rebuilt = rebuild_ledger(options.target, options.even_if_sound)
    if options.json:
        write_json(
            {
                "targets": [{"source": one.source, "target": one.target} for one in rebuilt.entries],
                "damaged": [{"target": target, "error": error} for target, error in rebuilt.damaged],
                "others": rebuilt.others,
                "aside": None if rebuilt.aside is None else str(rebuilt.aside),
            },
            None,
        )
    else:
        say(*_text(options.target, rebuilt))
    return 1 if rebuilt.damaged else 0


def _text(target: Path, rebuilt: RebuiltLedger) -> list[str]:
    lines = [f"{name}: {error}" for name, error in rebuilt.damaged]
    aside = f"; the old one is {rebuilt.aside}" if rebuilt.aside else ""
    damaged = f", {len(rebuilt.damaged)} that cannot be read" if rebuilt.damaged else ""
    others = f", {counted(rebuilt.others, 'other file')}" if rebuilt.others else ""
    lines.append(
        f"{target}: the ledger has {counted(len(rebuilt.entries), 'conversion')}{damaged}{others}{aside}"
    )
    lines.append("  the next batch compares each with its source; no slide was touched")
    return lines


REBUILD = Command("batch rebuild", (RebuildOptions,), run_rebuild)
