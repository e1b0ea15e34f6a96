"""`wsicomp unmount`: take the mount of an archive away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsicomp.cli.commands import Command
from wsicomp.mount.mounting import unmount_archive
from wsicomp.options import argument


@dataclass(frozen=True, kw_only=True)
class UnmountOptions:
    """Arguments of `wsicomp unmount`."""

    mountpoint: Path = argument("the folder that an archive is mounted at")


def run_unmount(options: UnmountOptions) -> int:
    """Take the mount of an archive away, once no program has a file open in it.

    The archive is not touched. The dead mount of a server that crashed is taken away as well.
    """
    unmount_archive(options.mountpoint)
    return 0


COMMANDS = (Command("unmount", (UnmountOptions,), run_unmount),)
