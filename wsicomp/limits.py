"""How much work may be asked for: bounds that come from this machine, and from what a file really holds.

A file of some kilobytes can state sizes that no machine has room for. Whoever reads it holds what it states
against these bounds first. They must not know slides or codecs.
"""

from __future__ import annotations

import errno
import os
import shutil
from functools import cache
from pathlib import Path

from wsicomp.errors import SlideWriteError
from wsicomp.geometry import Size
from wsicomp.text_format import as_bytes

_SHARE = 32
_LEAST_BUDGET, _LEAST_MEMORY = 1 << 29, 1 << 31
_BATCH_PX = 32 * 512 * 512
_MOST_AT_ONCE = 32
_BYTES_A_PIXEL = 32
"""What a pixel of a tile takes while it is decoded, painted, encoded and compared."""
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@cache
def memory_bytes() -> int:
    """The memory that this process may use: the machine's, or what its container leaves of it."""
    found = [_physical_bytes()]
    for name in _CGROUPS:
        try:
            found.append(int(Path(name).read_text("ascii")))
        except (OSError, ValueError):  # no such limit, or "max"
            continue
    return min(found)


def _physical_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return _LEAST_MEMORY


def budget_bytes() -> int:
    """What the tiles that are worked on at a time may take: a small share, for many jobs run side by side."""
    return max(_LEAST_BUDGET, memory_bytes() // _SHARE)


def tiles_at_once(tile: Size, most: int = _MOST_AT_ONCE) -> int:
    """How many tiles a thread takes at a time: `most` of the usual sizes, fewer of large ones."""
    return max(1, min(most, _BATCH_PX // max(1, tile.width * tile.height)))


def workers_for(tile: Size, workers: int) -> int:
    """How many threads may work on tiles of a size side by side; always one."""
    return max(1, min(workers, budget_bytes() // max(1, tile.width * tile.height * _BYTES_A_PIXEL)))


def check_free_space(place: Path, need_bytes: float, min_free_gb: float = 0.0) -> None:
    """Refuse to write what a disk has no room for, before its first byte.

    Raises:
        SlideWriteError: with `need_bytes` more on it, less than `min_free_gb` would be left free.
    """
    try:
        free = shutil.disk_usage(place.parent).free
    except OSError:
        return  # writing will say what is wrong
    if free - need_bytes < min_free_gb * 1e9:
        left = f", of which {as_bytes(int(min_free_gb * 1e9))} are to stay free" if min_free_gb else ""
        found = f"needs {as_bytes(int(need_bytes))} and its disk has {as_bytes(free)}{left}"
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise SlideWriteError(f"{found}; make room, or name another disk", place) from full
