"""Files that a batch carries into its target tree as they are, as its ledger records them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from wsicomp.files.json_values import parsed_text
from wsicomp.text.paths import as_path

OWN_PREFIX = ".wsicomp"
"""How the names of folders begin that a batch has in both trees; nothing is carried from or to them."""

_Bytes = Annotated[int, Meta(ge=0, lt=1 << 60)]
_Time = Annotated[int, Meta(gt=-(1 << 62), lt=1 << 62)]

NO_SLIDE, NOT_CONVERTED, LINK = "no slide", "not converted", "link"
"""Why a file is carried, or is not: `LINK`."""


@dataclass(frozen=True)
class Carried:
    """A file of the source tree that is in the target tree as it is, or why it is not."""

    source: str
    """Its path in the source tree, as text."""
    target: str
    """Its path in the target tree, as text."""
    why: str
    """`NO_SLIDE`, `NOT_CONVERTED` or `LINK`."""
    bytes: _Bytes = 0
    """Bytes of the file."""
    mtime_ns: _Time = 0
    """Modification time of the source, in ns."""
    sha256: Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")] = ""
    """SHA-256 of the file; "" where it was never carried."""
    target_mtime_ns: _Time = 0
    """Modification time of the copy, in ns; file systems round it."""
    error: str = ""
    """Why it could not be carried as it is now; "" if it was."""

    @property
    def target_facts(self) -> tuple[int, int] | None:
        """Bytes and modification time of the copy; None where there is none."""
        return (self.bytes, self.target_mtime_ns) if self.sha256 else None

    @property
    def has_sound_paths(self) -> bool:
        """Whether both paths lie in their trees, and in no folder of a batch's own."""
        return all(map(_is_sound, (self.source, self.target)))


def carried_of(source: str, text: str) -> Carried:
    """Return the record in a row of the ledger.

    Raises:
        ValueError: the text is no record of this source, or its path leads out of its tree.
    """
    found = parsed_text(text, Carried, is_closed=True)
    if found.source != source or not found.has_sound_paths:
        raise ValueError("its path is not in its tree")
    return found


def _is_sound(text: str) -> bool:
    try:
        parts = str(as_path(text)).split("/")
    except ValueError:
        return False
    return bool(text) and not any(
        part in ("", "..") or "\0" in part or part.startswith(OWN_PREFIX) for part in parts
    )
