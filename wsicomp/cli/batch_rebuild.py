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
    """What `wsicomp batch rebuild` takes."""

    target: Path = argument("the tree that a batch writes", metavar="TARGET_DIR")
    even_if_sound: bool = option(False, "also where the ledger that is there can be read")
    json: bool = option(False, "as JSON")


def run_rebuild(options: RebuildOptions) -> int:
    """Make the ledger of TARGET_DIR anew by what its targets say of themselves, where it is lost or damaged.

    Every conversion in the tree is read and its SHA-256 taken. Slides and conversions are not touched; the
    old ledger is moved aside, beside the new one. The next batch holds each conversion against its source
    before it takes it on, and no source goes before the same proof as ever. Who has looked at which slide,
    and how long sources are in quarantine, stands in the source tree.
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
