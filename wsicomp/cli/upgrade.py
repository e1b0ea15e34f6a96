"""`wsicomp upgrade`: give older archives what newer ones have."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from wsicomp.cli.commands import Command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say, write_json
from wsicomp.options import argument, option
from wsicomp.text.figures import as_bytes, counted

_EPILOG = """\
example:
  wsicomp upgrade archive/
  wsicomp mount archive/ /mnt/slides
"""


@dataclass(frozen=True, kw_only=True)
class UpgradeOptions:
    """Arguments of `wsicomp upgrade`."""

    archive: Path = argument("a conversion made with --restorable, or a folder of them", metavar="ARCHIVE")
    json: bool = option(False, "print what was done as JSON")


def run_upgrade(options: UpgradeOptions) -> int:
    """Rewrite restorable conversions of wsicomp 0.7 and before, so that their originals are read at random.

    Each one is replaced by a file that rebuilds its original, proved by SHA-256, all at once or not at
    all. Tiles stay as they are. The ledger of a batch learns of it. A file that needs nothing stays
    untouched, and so does one that is refused. The disk needs room for one more file at a time.
    """
    from wsicomp.batch.upgrade import UpgradedFile, check_alone, upgrade_folder
    from wsicomp.conversion.upgrade import upgrade_conversion

    def told(one: UpgradedFile) -> None:
        if one.error and not options.json:
            say(f"{one.file}: {one.error}")

    with progress_bars() as show:
        if options.archive.is_dir():
            found = upgrade_folder(options.archive, show, told)
        else:
            check_alone(options.archive)
            report = upgrade_conversion(options.archive, on_progress=show)
            found = (UpgradedFile(report.file, report.upgraded, report.bytes_before, report.bytes),)
    if options.json:
        write_json([asdict(one) for one in found], None)
    else:
        sizes = [(one.bytes_before, one.bytes) for one in found if one.upgraded]
        say(_summary(options.archive, [before for before, _ in sizes], [now for _, now in sizes], len(found)))
    return 1 if any(one.error for one in found) else 0


def _summary(archive: Path, before: list[int], now: list[int], total: int) -> str:
    sizes = f", {as_bytes(sum(before))} -> {as_bytes(sum(now))}" if before else ""
    if total and not before:
        return f"{archive}: nothing to do for {counted(total, 'restorable conversion')}"
    return f"{archive}: {len(before)} of {counted(total, 'restorable conversion')} upgraded{sizes}"


COMMANDS = (Command("upgrade", (UpgradeOptions,), run_upgrade, epilog=_EPILOG),)
