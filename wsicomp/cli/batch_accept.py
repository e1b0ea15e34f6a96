"""`wsicomp batch accept`: which slides a person has to look at, and the record that somebody did."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsicomp.batch import Ledger, Look, accept_slides, slides_to_look_at
from wsicomp.batch.acceptance import tree_of
from wsicomp.batch.report import as_values
from wsicomp.cli.commands import Command
from wsicomp.cli.text import say, write_json
from wsicomp.options import argument, option
from wsicomp.text_format import as_bytes

_DESCRIPTION = """\
Record that a person has looked at slides of state "look", so that their sources may go as others do.

With TARGET_DIR alone it lists the slides that wait, each with the picture of what was removed from it, and
changes nothing. With SLIDEs it says where the picture of each is, and writes into the ledger that it was
looked at: when, and which source and conversion (SHA-256); should either change, that is void. A SLIDE is
named as in the list, or by the path of its source or of its conversion; without TARGET_DIR by that of its
conversion. The same is written into the source tree, by which alone the next run with
--delete-source-after-verify treats its source as any other; who may not write there is told so."""


@dataclass(frozen=True, kw_only=True)
class AcceptOptions:
    """What `wsicomp batch accept` takes."""

    target: str = argument("the tree that a batch writes", metavar="TARGET_DIR")
    slides: tuple[str, ...] = argument("a slide that somebody has looked at", (), metavar="SLIDE")
    json: bool = option(False, "as JSON")


def look_text(look: Look) -> list[str]:
    """A slide that waits to be looked at, and where its picture is."""
    entry = look.entry
    sizes = f"{as_bytes(entry.source_bytes)} -> {as_bytes(entry.target_bytes)}"
    lines = [f"{entry.source}: look at it: {entry.look}; {sizes}", f"  {_picture_text(look.picture)}"]
    if entry.restorable:
        lines.append("  every byte of its source comes back: its source needs no release")
    return lines


def _picture_text(picture: Path | None) -> str:
    if picture is None:
        return "no picture of what was removed is there: the next run of the batch draws one"
    return f"what was removed: {picture}"


def look_json(look: Look) -> dict[str, Any]:
    """The same as JSON values, with all that the ledger says of the slide."""
    picture = None if look.picture is None else str(look.picture)
    return {
        **as_values(vars(look.entry).items()),
        "picture": picture,
        "accepted_now": look.is_new,
        "unwritten": look.unwritten,
    }


def run_accept(options: AcceptOptions) -> int:
    """Say which slides a person has to look at, or record that somebody did."""
    target, slides = Path(options.target), options.slides
    if not Ledger.is_there(target) and not target.is_dir():
        target, slides = tree_of(options.target), (options.target, *slides)
    looks = accept_slides(target, slides) if slides else slides_to_look_at(target)
    if options.json:
        write_json([look_json(look) for look in looks], None)
        return 0
    for look in looks:
        say(*(_accepted_text(look) if slides else look_text(look)))
    if not slides:
        say(*_to_accept_text(target, looks))
    return 0


def _accepted_text(look: Look) -> list[str]:
    entry = look.entry
    if not entry.look:
        return [f"{entry.source}: is done and needs no look; nothing was changed"]
    when = "accepted" if look.is_new else f"was accepted before, {entry.accepted}"
    lines = [f"{entry.source}: {when} ({entry.look})", f"  {_picture_text(look.picture)}"]
    if look.unwritten:
        stays = "its source is not removed until somebody who may write in the source tree accepts it"
        lines.append(f"  {stays} ({look.unwritten})")
    return lines


def _to_accept_text(target: Path, looks: Sequence[Look]) -> list[str]:
    if not looks:
        return [f"{target}: no slide waits to be looked at"]
    name = shlex.quote(looks[0].entry.source)
    return [
        f"{target}: {len(looks)} to look at; their sources stay until then",
        f"  when somebody has: wsicomp batch accept {shlex.quote(str(target))} {name}",
    ]


ACCEPT = Command("batch accept", _DESCRIPTION, (AcceptOptions,), run_accept)
