"""`wsicomp mount`: mount an archive as the files that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsicomp.cli.commands import Command
from wsicomp.cli.text import say
from wsicomp.mount.mounting import mount_archive, mount_in_foreground
from wsicomp.mount.options import MountOptions
from wsicomp.options import argument, option

_EPILOG = """\
examples:
  wsicomp mount archive/ slides/
      every program finds the original slides in slides/
  wsicomp unmount slides/
"""


@dataclass(frozen=True, kw_only=True)
class MountCommandOptions:
    """Arguments of `wsicomp mount`."""

    archive: Path = argument("a batch's archive, any other folder, or one file")
    mountpoint: Path = argument("the empty folder to mount it at")
    foreground: bool = option(False, "serve it in this process, until Ctrl-C")


def run_mount(options: MountCommandOptions, how: MountOptions) -> int:
    """Mount an archive so that every program finds the original slides in it.

    Every restorable conversion appears as its original: under its old name and path, with its size, time and
    bytes, which are rebuilt where a program reads them. All other files appear as they are. Nothing can be
    written. The command returns once programs can look into the folder; a process in the background serves
    it until `wsicomp unmount`. It tells of damaged files in the system's log, with --foreground on stderr.
    """
    if not options.foreground:
        mount_archive(options.archive, options.mountpoint, how)
        say(f"{options.archive} is mounted at {options.mountpoint}")
        return 0
    mounted = f"{options.archive} is mounted at {options.mountpoint}  (Ctrl-C ends it)"
    mount_in_foreground(options.archive, options.mountpoint, how, lambda: say(mounted))
    return 0


COMMANDS = (Command("mount", (MountCommandOptions, MountOptions), run_mount, epilog=_EPILOG),)
