"""The process that serves a mount in the background: started by `mount_archive`, and by nobody else.

It says "mounted" on stdout once it is, else on stderr in one line why not.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from contextlib import suppress
from logging.handlers import SysLogHandler
from pathlib import Path
from threading import Thread

from wsicomp.errors import SlideWriteError, WsicompError
from wsicomp.mount.options import MountOptions
from wsicomp.mount.serving import serve_archive_mount

_SYSTEM_LOG = "/dev/log"


def serve_in_background(archive: str, mountpoint: str, options: str, until: str = "") -> int:
    """Serve a mount; return the exit code. `options` are JSON.

    With `until` the mount goes, too, when the process that began it does: it holds the other end of stdin.
    """
    if until:
        Thread(target=_end_with, args=(os.dup(0),), daemon=True).start()
    if Path(_SYSTEM_LOG).exists():
        handler = SysLogHandler(_SYSTEM_LOG)
        handler.ident = f"wsicomp[{os.getpid()}]: "
        logging.getLogger("wsicomp").addHandler(handler)
    try:
        serve_archive_mount(Path(archive), Path(mountpoint), MountOptions(**json.loads(options)), _tell)
    except WsicompError as exc:
        said = exc.message if isinstance(exc, SlideWriteError) else str(exc)
        os.write(2, f"{said}\n".encode(errors="backslashreplace"))
        return 1
    return 0


def _end_with(descriptor: int) -> None:
    """End this process when the other end of a pipe is closed."""
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _tell() -> None:
    """Say that the tree is mounted, and let go of whoever waits for that.

    Only now it leaves their session: autofs lets none but its own processes to a mountpoint.
    """
    with suppress(PermissionError):  # it leads a session of its own
        os.setsid()
    os.write(1, b"mounted\n")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


if __name__ == "__main__":
    code = serve_in_background(*sys.argv[1:])
    os._exit(code)  # a call that a share never answers would keep it
