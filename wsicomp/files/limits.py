"""Limits of memory, disk and threads: bounds from this machine and from real files.

A file of a few kilobytes can state sizes for which no machine has memory. Readers compare what it states with
these bounds first. This module must not know slides or codecs.
"""

from __future__ import annotations

import errno
import os
import shutil
from functools import cache
from pathlib import Path

from wsicomp.errors import SlideWriteError
from wsicomp.geometry import Size
from wsicomp.text.figures import as_bytes

_SHARE = 32
_LEAST_BUDGET, _LEAST_MEMORY = 1 << 29, 1 << 31
_BATCH_PX = 32 * 512 * 512
_MOST_AT_ONCE = 32
BYTES_A_PIXEL = 32
"""Memory for one pixel of a tile while it is decoded, painted, encoded and compared, by most codecs."""
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@cache
def memory_bytes() -> int:
    """Return the bytes of memory that this process may use: the machine's, or its container's if fewer."""
    try:
        found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (ValueError, OSError, AttributeError):
        found = [_LEAST_MEMORY]
    for name in _CGROUPS:
        try:
            found.append(int(Path(name).read_text("ascii")))
        except (OSError, ValueError):  # no such limit, or "max"
            continue
    return min(found)


def budget_bytes() -> int:
    """Return the bytes of memory that all tiles in work may take together.

    It is a small share of the machine's, since many jobs may run side by side.
    """
    return max(_LEAST_BUDGET, memory_bytes() // _SHARE)


def tiles_at_once(tile: Size, most: int = _MOST_AT_ONCE) -> int:
    """Return the count of tiles that a thread takes at a time, at least 1.

    It is `most` for tiles of up to 512 x 512 px, and smaller for larger tiles.
    """
    return max(1, min(most, _BATCH_PX // max(1, tile.width * tile.height)))


def workers_for(tile: Size, workers: int, bytes_a_pixel: int = BYTES_A_PIXEL) -> int:
    """Return the count of threads that may work on tiles of this size at once, from 1 to `workers`.

    `bytes_a_pixel` is the memory that a thread needs for each pixel of a tile.
    """
    return max(1, min(workers, budget_bytes() // max(1, tile.width * tile.height * bytes_a_pixel)))


def check_free_space(place: Path, need_bytes: float, min_free_gb: float = 0.0) -> None:
    """Refuse to write to a disk that is too full, before the first byte.

    `need_bytes` are written to the disk of `place`; `min_free_gb` (10^9 bytes) must stay free afterwards.

    Raises:
        SlideWriteError: less than `min_free_gb` would stay free.
    """
    try:
        free = shutil.disk_usage(place.parent).free
    except OSError:
        return  # the write itself will report what is wrong
    if free - need_bytes < min_free_gb * 1e9:
        left = f", of which {as_bytes(int(min_free_gb * 1e9))} are to stay free" if min_free_gb else ""
        found = f"needs {as_bytes(int(need_bytes))} and its disk has {as_bytes(free)}{left}"
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise SlideWriteError(f"{found}; make room, or name another disk", place) from full
