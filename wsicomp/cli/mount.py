"""`wsicomp mount`: mount an archive as the files that it was made from."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from wsicomp.cli.commands import Command
from wsicomp.cli.text import say
from wsicomp.cli.verbosity import is_quiet
from wsicomp.errors import LedgerError
from wsicomp.mount.mounting import mount_archive, mount_in_foreground
from wsicomp.mount.options import MountOptions
from wsicomp.mount.slide_counts import count_slides
from wsicomp.options import argument, option
from wsicomp.text.figures import counted

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
    if options.foreground:
        lines = mount_lines(options)
        lines[0] += "  (Ctrl-C ends it)"
        mount_in_foreground(options.archive, options.mountpoint, how, lambda: say(*lines))
    else:
        mount_archive(options.archive, options.mountpoint, how)
        say(*mount_lines(options))
    return 0


def mount_lines(options: MountCommandOptions) -> list[str]:
    """Return what is said of an archive that is mounted: how many slides it shows, and how many not, and why.

    An archive that cannot be mounted says so itself, and one that does not answer is mounted all the same.
    """
    archive, place = options.archive, options.mountpoint
    plain = f"Mounted {archive} at {place}"
    if is_quiet():
        return [plain]
    try:
        counts = count_slides(archive)
    except LedgerError as exc:
        return [plain, f"  names are those that files state, for the ledger cannot be read: {exc}"]
    except OSError:
        return [plain]
    if counts.shown:
        more = "" if counts.is_all else "more than "
        plain = f"Mounted {more}{counted(counts.shown, 'slide')} of {archive} at {place}"
    lines = [plain]
    if counts.not_shown:
        whys = (f"{count} {why.value}" for why, count in counts.not_shown.items())
        said = ", ".join(whys).format(archive=shlex.quote(str(archive)))
        lines.append(f"  not shown as they were: {said}")
    elif counts.is_all and not counts.shown:
        lines.append(f"  nothing in {archive} is restorable: it is shown as it is")
    return lines


COMMANDS = (Command("mount", (MountCommandOptions, MountOptions), run_mount, epilog=_EPILOG),)
