"""`wsicomp batch accept`: list slides that a person has to look at, or record that somebody did."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsicomp.batch import Ledger, Review, accept_slides, slides_to_review
from wsicomp.batch.acceptance import find_tree
from wsicomp.batch.report import entry_values
from wsicomp.cli.commands import Command
from wsicomp.cli.text import say, write_json
from wsicomp.errors import ConfigError
from wsicomp.files.inputs import given_path
from wsicomp.options import argument, option
from wsicomp.text.figures import as_bytes


@dataclass(frozen=True, kw_only=True)
class AcceptOptions:
    """Arguments of `wsicomp batch accept`."""

    target: str = argument("the target tree of a batch", metavar="TARGET_DIR")
    slides: tuple[str, ...] = argument("a slide that somebody has looked at", (), metavar="SLIDE")
    json: bool = option(False, "print JSON")


def review_text(review: Review) -> list[str]:
    """Return the lines of text about a slide that a person has to look at, with the path of its picture."""
    entry = review.entry
    sizes = f"{as_bytes(entry.source_bytes)} -> {as_bytes(entry.target_bytes)}"
    lines = [f"{entry.source}: look at it: {entry.look}; {sizes}", f"  {_picture_text(review.picture)}"]
    if entry.restorable:
        lines.append("  every byte of its source comes back: its source needs no release")
    return lines


def _picture_text(picture: Path | None) -> str:
    if picture is None:
        return "there is no picture of what was removed yet: the next run of the batch draws one"
    return f"what was removed: {picture}"


def review_json(review: Review) -> dict[str, Any]:
    """Return a review as JSON values, with the slide's whole entry."""
    picture = None if review.picture is None else str(review.picture)
    return {
        **entry_values(vars(review.entry).items()),
        "picture": picture,
        "accepted_now": review.is_new,
        "unwritten": review.unwritten,
    }


def run_accept(options: AcceptOptions) -> int:
    """Record that a person has looked at slides of state "look", and let their sources be taken away.

    With TARGET_DIR alone it lists the slides that wait, each with the picture of what was removed, and
    changes nothing. With SLIDEs it records that each was looked at, when, and which source and conversion
    that was, by SHA-256. If either changes, the record is void.

    Name a SLIDE as the list does, or by the path of its source or of its conversion. TARGET_DIR can be
    left out before the path of a conversion. The record is written into the ledger and into the source
    tree. Only the one in the source tree lets --delete-source-after-verify take the source away. If you
    may not write there, the command says so.
    """
    target, slides = given_path(options.target, ConfigError), options.slides
    if not Ledger.is_there(target) and not target.is_dir():
        target, slides = find_tree(options.target), (options.target, *slides)
    reviews = accept_slides(target, slides) if slides else slides_to_review(target)
    if options.json:
        write_json([review_json(review) for review in reviews], None)
        return 0
    for review in reviews:
        say(*(_accepted_text(review) if slides else review_text(review)))
    if not slides:
        say(*_to_accept_text(target, reviews))
    return 0


def _accepted_text(review: Review) -> list[str]:
    entry = review.entry
    if not entry.look:
        return [f"{entry.source}: is done and needs no look; nothing was changed"]
    when = "accepted" if review.is_new else f"was accepted before, {entry.accepted}"
    lines = [f"{entry.source}: {when} ({entry.look})", f"  {_picture_text(review.picture)}"]
    if review.unwritten:
        stays = "its source is not removed until somebody who may write in the source tree accepts it"
        lines.append(f"  {stays} ({review.unwritten})")
    return lines


def _to_accept_text(target: Path, reviews: Sequence[Review]) -> list[str]:
    if not reviews:
        return [f"{target}: no slide waits to be looked at"]
    name = shlex.quote(reviews[0].entry.source)
    return [
        f"{target}: {len(reviews)} to look at; their sources stay until then",
        f"  when somebody has: wsicomp batch accept {shlex.quote(str(target))} {name}",
    ]


ACCEPT = Command("batch accept", (AcceptOptions,), run_accept)
