"""`wsicomp restore`: the source's file back, byte for byte."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from wsicomp.cli.parsers import Subparsers, add_command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say, write_json
from wsicomp.conversion.restore import restore_slide
from wsicomp.text_format import as_bytes

_DESCRIPTION = """\
Rebuilds the file that was converted with --restorable, byte for byte. TARGET appears only when its SHA-256
is that of the source; FILE is never touched."""

_EPILOG = """\
example:
  wsicomp convert slide.svs archive.tiff --codec jpegxl --lossless --glass keep --restorable
  wsicomp restore archive.tiff again.svs
  cmp slide.svs again.svs
"""


def register(commands: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands, "restore", "rebuild the source of a conversion, byte for byte", _DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("file", type=Path, help="a file made with `convert --restorable`")
    parser.add_argument("target", type=Path, help="the file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace TARGET if it exists")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="restore a FILE that states a far larger source than so few bytes should make",
    )
    parser.add_argument("--json", action="store_true", help="say what was done as JSON")
    parser.set_defaults(run=run_restore)


def run_restore(options: argparse.Namespace) -> int:
    """Restore, and say what was."""
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
