"""`wsicomp restore`: restore the source's file, byte for byte."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from wsicomp.cli.commands import Command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say, write_json
from wsicomp.conversion.restore import restore_slide
from wsicomp.options import argument, option
from wsicomp.text.figures import as_bytes

_EPILOG = """\
example:
  wsicomp convert slide.svs archive.tiff --preset archive-lossless
  wsicomp restore archive.tiff again.svs
  cmp slide.svs again.svs
"""


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """Arguments of `wsicomp restore`."""

    file: Path = argument("the file made with `wsicomp convert --restorable`")
    target: str = argument("the file to write; of a packed slide of several files the folder")
    overwrite: bool = option(False, "replace TARGET if it exists")
    trust: bool = option(
        False, "restore even a FILE that states a far larger source than its bytes should make"
    )
    json: bool = option(False, "print what was done as JSON")


def run_restore(options: RestoreOptions) -> int:
    """Rebuild the source of a file that was converted with --restorable, byte for byte.

    TARGET appears only when its SHA-256 is that of the source. FILE is only read.
    """
    with progress_bars() as show:
        report = restore_slide(
            options.file, options.target, options.overwrite, on_progress=show, trust=options.trust
        )
    if options.json:
        write_json(asdict(report), None)
    else:
        say(f"{report.target}: {as_bytes(report.bytes)}, the source's file, SHA-256 {report.sha256}")
        for note in report.notes:
            say(f"  note: {note}")
    return 0


COMMANDS = (Command("restore", (RestoreOptions,), run_restore, epilog=_EPILOG),)
