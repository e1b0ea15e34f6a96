"""A slide's row of the ledger, and the check that a batch could have written it."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wsicomp.batch.ledger_checks import UnsoundError, is_valid_value, path_flaw, shorten_text, stale_flaw
from wsicomp.conversion.outcome import Tissue

NAME_TAKEN = "name taken"
"""Why a slide fails: an earlier slide of its name was taken away. Its entry's source ends in "/"."""
NOT_FOUND = "not found"
"""Why a slide fails that a list names and the tree has not. Its entry's source ends in "/", too."""


class State(enum.StrEnum):
    """The state of a slide in a batch.

    A slide in state `LOOK` is done too, but a person has to look at it before its source may go.
    """

    LOOK = "look"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


HELD_FOR_REVIEW, HELD_FOR_SAVING = "look", "saving"
"""Why a source stays before anything is read: nobody has looked, or the conversion saves too little."""


@dataclass(frozen=True)
class Entry:
    """A slide's row of the ledger; its fields are the ledger's columns and the names in JSON and CSV.

    Times are UTC in ISO 8601, "" for none. An entry without `target` is no slide, but something in the tree
    that cannot be one.
    """

    source: str
    """The source's path in its tree, as text."""
    target: str
    """The conversion's path in its tree, as text."""
    state: State = State.WAITING
    """What became of the slide."""
    stamp: str = ""
    """Size and time of the source as it was found, or a digest of several files; it changes when they do."""
    source_bytes: int = 0
    """Bytes of the source as it was found."""
    settings: str = ""
    """Digest of the `Settings` by which the target was made or is to be made."""
    digest: str = ""
    """Digest of the conversion: of what was chosen and of `source_sha256`."""
    source_sha256: str = ""
    """SHA-256 of the source."""
    target_sha256: str = ""
    """SHA-256 of the file that was written."""
    target_bytes: int = 0
    """Bytes of the file that was written."""
    target_mtime_ns: int = 0
    """Modification time of the file that was written, in ns."""
    attempts: int = 0
    """How often a conversion was begun."""
    started: str = ""
    """When the last conversion began."""
    ended: str = ""
    """When the last conversion ended."""
    elapsed_s: float = 0.0
    """Seconds that the last conversion took."""
    adopted: bool = False
    """Whether the target was there already and was taken on."""
    codec: str = ""
    """The codec of the conversion."""
    verified: bool = False
    """Whether the conversion was verified."""
    restorable: bool = False
    """Whether every byte of the source can be restored."""
    tiles: int = 0
    """Tiles of all levels."""
    removed_tiles: int = 0
    """Tiles that were removed as glass, of all levels."""
    rescued_tiles: int = 0
    """Tiles that the mask called glass and the guard kept, of all levels."""
    flawed_tiles: int = 0
    """Tiles that are damaged in the source but could be kept, of all levels."""
    lost_tiles: int = 0
    """Tiles that the source has lost, of all levels."""
    fell_back_tiles: int = 0
    """Tiles that a guarded codec had to store by another one, of all levels."""
    cause: str = ""
    """Why the slide failed or was skipped: a fixed word by which failures are grouped."""
    error: str = ""
    """Why the slide failed or was skipped, in one line."""
    trace: str = ""
    """Where an unforeseen error arose."""
    removal: str = ""
    """Where the source went: "" (nowhere), "quarantined" or "deleted"."""
    removed: str = ""
    """When the source was moved or deleted."""
    kept_because: str = ""
    """Why the source stays although it was to go."""
    stale_target: str = ""
    """Earlier conversions under other names, deleted once this one is done.

    Size, time and name, a line each.
    """
    notes: str = ""
    """What the conversion noted, a line each."""
    model: str = ""
    """Name and SHA-256 of the model that the neural tiles need; "" for none."""
    removed_area: float = 0.0
    """The part of level 0 that was removed as glass, in [0, 1]."""
    look: str = ""
    """Why a person has to look at the conversion before the source may go; "" where nobody has to."""
    accepted: str = ""
    """When somebody had looked."""
    accepted_source: str = ""
    """SHA-256 of the source that was accepted."""
    accepted_target: str = ""
    """SHA-256 of the conversion that was accepted."""
    kept_cause: str = ""
    """`HELD_FOR_REVIEW` or `HELD_FOR_SAVING`; "" for a proof that failed."""
    quarantine_age: float = 0.0
    """Days in quarantine, as counted by runs."""
    quarantine_runs: int = 0
    """How many runs have counted these days."""
    quarantine_seen: str = ""
    """When the last of these runs was."""
    tissue: str = ""
    """What became of tissue: a `Tissue`; "" of conversions of 0.6.0 and before."""
    least_ssim: float = 0.0
    """The least SSIM of a tile of lossy tissue; 0 where tissue is exact, or nothing was measured."""
    opens_in: str = ""
    """Which of the programs tried open the conversion; "" where it was not verified."""

    @property
    def shown(self) -> str:
        """The path of the source in its tree as people know it, without the "/" at its end."""
        return self.source.removesuffix("/") if self.cause in (NAME_TAKEN, NOT_FOUND) else self.source

    @property
    def is_converted(self) -> bool:
        """Whether the slide has a conversion."""
        return self.state in (State.DONE, State.LOOK)

    @property
    def is_accepted(self) -> bool:
        """Whether a person has looked at this very conversion of this very source."""
        seen = self.accepted_source, self.accepted_target
        return bool(self.accepted) and seen == (self.source_sha256, self.target_sha256) and all(seen)

    @property
    def converted_state(self) -> State:
        """The state of the slide once it has a conversion: done, or to be looked at."""
        return State.LOOK if self.look and not self.is_accepted else State.DONE

    @property
    def needs_release(self) -> bool:
        """Whether the source must stay until a person has looked; never where every byte can be restored."""
        return bool(self.look) and not self.is_accepted and not self.restorable

    @property
    def saved(self) -> float:
        """The part of the source's bytes that the target saves, at most 1; negative where it is larger."""
        return 1 - self.target_bytes / self.source_bytes if self.source_bytes else 0.0


def entry_flaw(entry: Entry) -> str:
    """Return in words a value of an entry that no ledger may hold, such as one of a forged target.

    Return "" if all values are well.
    """
    values = vars(entry)
    if entry.state not in tuple(State):
        return f"state is {entry.state!r:.80}"
    wrong = (
        f"{name} is {values[name]!r:.80}"
        for name, kind in COLUMNS.items()
        if not is_valid_value(name, kind, values[name])
    )
    return next(wrong, "") or _flaw(entry)


COLUMNS = {field.name: str(field.type) for field in dataclasses.fields(Entry)}

_ROW = tuple({"int": int, "float": float, "bool": int}.get(kind, str) for kind in COLUMNS.values())
"""The types of a row's values as SQLite returns them."""

WORDS = {
    "state": tuple(State),
    "removal": ("", "quarantined", "deleted"),
    "kept_cause": ("", HELD_FOR_REVIEW, HELD_FOR_SAVING),
    "tissue": ("", *Tissue),
}

_FREE_TEXTS = ("notes", "error", "trace", "cause", "kept_because", "look", "codec", "model", "opens_in")

TIMES = ("started", "ended", "removed", "accepted", "quarantine_seen")


def row_of(entry: Entry) -> tuple[object, ...]:
    """Return an entry's values as a row of the ledger.

    Texts are cut to the length that a ledger may hold. Bytes that are not Unicode, as a file's name in an
    error may have, become escapes.
    """
    return tuple(
        value.encode("utf-8", "backslashreplace").decode() if type(value) is str else value
        for value in vars(with_short_texts(entry)).values()
    )


def with_short_texts(entry: Entry) -> Entry:
    """Return the entry with its texts cut to the length that a ledger may hold."""
    texts = {name: getattr(entry, name) for name in _FREE_TEXTS}
    long: dict[str, Any] = {
        name: short for name, text in texts.items() if (short := shorten_text(text)) is not text
    }
    return dataclasses.replace(entry, **long) if long else entry


def entry_of(row: tuple[Any, ...]) -> Entry:
    """Return the entry in a row, which somebody may have written after all rows were checked.

    Raises:
        UnsoundError: a value is of another kind, a path leads out of its tree, or a time is none.
    """
    values = dict(zip(COLUMNS, row, strict=True))
    for name, kind in COLUMNS.items():
        if kind == "bool":
            values[name] = bool(values[name])
    is_known = values["state"] in WORDS["state"]
    entry = Entry(**(values | ({"state": State(values["state"])} if is_known else {})))
    is_plain = is_known and tuple(map(type, row)) == _ROW
    if flaw := _flaw(entry) if is_plain else entry_flaw(entry):
        raise UnsoundError(f"slide {entry.source:.80}: {flaw}")
    return entry


def _flaw(entry: Entry) -> str:
    """Return which path of an entry leads out of its tree, or which time is none; "" if all is well."""
    checks = [("stale_target", stale_flaw), *((name, time_flaw) for name in TIMES)]
    if entry.target:  # else it is no slide, and no path is made of it
        checks += [("source", path_flaw), ("target", path_flaw)]
    for name, check in checks:
        value = getattr(entry, name)
        if value and (flaw := check(value)):
            return f"{name} {value!r:.80} {flaw}"
    return ""


def time_flaw(text: str) -> str:
    """Return why a text is not a time with its time zone; "" if it is one."""
    try:
        return "is a time without a time zone" if datetime.fromisoformat(text).tzinfo is None else ""
    except ValueError:
        return "is not a time"
