"""Why FUSE did not mount or unmount, in words that say what to do: its own are for those who build it."""

from __future__ import annotations

import os
import re
from pathlib import Path

_STDERR = 2
_NO_FUSE = "this system has no FUSE, or does not allow it (/dev/fuse); mount on another machine"
_NOT_ALLOWED = "this system does not allow it; a container needs /dev/fuse and SYS_ADMIN: try its host"
_NOT_YOURS = "it is the mount of another account; that one, or root, can unmount it"
_REASONS = (
    ("user_allow_other", "`allow_other` needs root, or the line user_allow_other in /etc/fuse.conf"),
    ("device not found", _NO_FUSE),
    ("/dev/fuse", _NO_FUSE),
    ("failed to exec fusermount3", "the program fusermount3 is missing; install the system's package fuse3"),
    ("too many FUSE", "too many are mounted; unmount some, or raise mount_max in /etc/fuse.conf"),
    ("no write access to mountpoint", "you may not write into this folder; choose a mountpoint of your own"),
    ("not found in", _NOT_YOURS),
    ("must be superuser", _NOT_YOURS),
    ("not owned by user", "this folder is another account's; choose a mountpoint of your own"),
    ("mounting over", "nothing can be mounted on this kind of disk; choose a mountpoint on a local one"),
    ("mountpoint", "the mountpoint cannot be entered; choose a folder that you may enter"),
    ("mount point", "the mountpoint cannot be entered; choose a folder that you may enter"),
    ("mount failed: Operation not permitted", _NOT_ALLOWED),
    ("mount failed: Permission denied", _NOT_ALLOWED),
    ("Operation not permitted", _NOT_YOURS),
)
"""What FUSE's words have in them, and ours; the first that fit count."""
_SPEAKER = re.compile(r"^\S*(?:fusermount3?|umount|fuse): ")


def plain_refusal(said: str, mountpoint: Path) -> str:
    """Return why FUSE refused, by all that it said; its own last line where that is none we know.

    >>> plain_refusal("fusermount3: entry for /srv/slides not found in /etc/mtab", Path("/srv/slides"))
    'it is the mount of another account; that one, or root, can unmount it'
    """
    words_alone = without_path(said, mountpoint)
    known = next((words for part, words in _REASONS if part in words_alone), "")
    lines = [line.strip() for line in said.split("\n") if line.strip()]
    return known or (_SPEAKER.sub("", lines[-1]) if lines else "it does not say why")


def without_path(said: str, mountpoint: Path) -> str:
    """Return what FUSE said without the mountpoint's path, which may have any words in it.

    FUSE follows the links on the way to it.
    """
    given = os.path.abspath(mountpoint)  # noqa: PTH100 - the mountpoint itself may not answer
    folder, name = os.path.split(given)
    followed = os.path.join(os.path.realpath(folder), name)  # noqa: PTH118
    return said.replace(given, "").replace(followed, "")


class HeldStderr:
    """Holds back what is printed on stderr, by libraries of C too, until `end`."""

    def __init__(self) -> None:
        self._before, self._said = os.dup(_STDERR), os.memfd_create("stderr")
        self._is_ended = False
        os.dup2(self._said, _STDERR)

    def end(self) -> str:
        """Let stderr lead where it did, and return what was printed; "" if that was asked for before."""
        if self._is_ended:
            return ""
        self._is_ended = True
        os.dup2(self._before, _STDERR)
        os.close(self._before)
        with open(self._said, "rb") as file:
            file.seek(0)
            return file.read().decode(errors="replace")
