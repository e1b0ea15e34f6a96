"""Optimise the entropy coding of JPEG streams, in child processes.

The library ends its process if it finds coefficients that no JPEG may have, as damage makes them. In a child
process that costs one tile its optimisation, and nothing else.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import struct
import subprocess
import sys

_CHILD = """
import struct, sys
from mozjpeg_lossless_optimization import COPY_MARKERS, optimize
take, give = sys.stdin.buffer, sys.stdout.buffer
while head := take.read(4):
    try:
        result = optimize(take.read(struct.unpack("<I", head)[0]), copy=COPY_MARKERS.ALL)
    except ValueError:
        result = b""
    give.write(struct.pack("<I", len(result)) + result)
    give.flush()
"""

_idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()


def optimize(stream: bytes) -> bytes:
    """Return the stream as progressive JPEG with the same coefficients and markers. Any thread may call it.

    Raises:
        RuntimeError: the library refuses the stream.
    """
    child = _idle_child()
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(struct.pack("<I", len(stream)) + stream)
        child.stdin.flush()
        head = child.stdout.read(4)
        result = child.stdout.read(struct.unpack("<I", head)[0]) if len(head) == 4 else b""
    except BaseException:
        _end(child)
        raise
    if len(head) < 4:
        _end(child)
    else:
        _idle.put(child)
    if not result:
        raise RuntimeError("the JPEG cannot be optimised")
    return result


def _idle_child() -> subprocess.Popen[bytes]:
    with contextlib.suppress(queue.Empty):
        return _idle.get_nowait()
    # -P: import nothing from the current directory, which may be anybody's.
    command = [sys.executable, "-P", "-c", _CHILD]
    return subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    for pipe in (child.stdin, child.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
    child.wait()


def _forget_all() -> None:
    """Drop the parent's children: a forked process must not talk to them."""
    global _idle  # noqa: PLW0603
    _idle = queue.SimpleQueue()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


@atexit.register
def _end_all() -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            _end(_idle.get_nowait())
