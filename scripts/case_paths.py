"""Cases of planted links and of files that appear meanwhile: what becomes of the slide that they lead to."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from case_list import THEN, Answer, Case

from tests.drawn.planted import facts, plant, write_journal, write_victim
from wsicomp.batch import Ledger
from wsicomp.batch.ledger_files import audit_path
from wsicomp.files.atomic import partial_path

_BATCH = "batch FOLDER/source FOLDER/out --segmenter threshold --jobs 1 --min-free 0"
_META = Path(".wsicomp")
_SMALL = partial_path(audit_path(Path(), "victim.svs"))
_CONFIG = 'wsicomp.ConversionConfig.of(codec="copy",glass="keep",workers=1)'
_SWAP = (
    'lambda stage, done, _: (stage, done) == ("write", 1) and '
    '__import__("os").replace("FOLDER/planted", "FOLDER/.target-0.tiff.wsicomp.partial")'
)

Draw = Callable[[Path], list[tuple[Path, Any]]]


def planted(place: Path, kind: str) -> Draw:
    """A source slide, and a link to it where one of ours is expected."""

    def draw(folder: Path) -> list[tuple[Path, Any]]:
        victim = folder / "source/victim.svs"
        before = write_victim(victim)
        plant(folder / place, kind, victim)
        return [(victim, (victim, before))]

    return draw


def beside_another(folder: Path) -> list[tuple[Path, Any]]:
    """Two slides, and a link to the first where the report of the second goes."""
    write_victim(folder / "other.svs")
    return planted(Path("report.json"), "link")(folder)


def with_journal(folder: Path) -> list[tuple[Path, Any]]:
    """A source slide, and a rollback journal beside an empty ledger that names it."""
    victim = folder / "source/victim.svs"
    before = write_victim(victim)
    (folder / "out" / _META).mkdir(parents=True)
    Ledger(folder / "out").__exit__()
    write_journal(folder / "out" / _META / "ledger.sqlite", victim)
    return [(victim, (victim, before))]


def stays(answers: list[Answer]) -> str:
    """Whether the source is as it was, and what was said."""
    (answer,) = answers
    victim, before = answer.truth
    if not os.path.lexists(victim):
        return f"the slide is gone; {answer.refusal}"
    found = "stays" if facts(victim) == before else f"is overwritten, {victim.stat().st_size} bytes"
    return f"the slide {found}; {answer.refusal}"


def theirs(answers: list[Answer]) -> str:
    """Whether the file that appeared is still there."""
    (answer,) = answers
    is_kept = answer.target.read_bytes() == b"theirs"
    return f"{'kept' if is_kept else 'replaced'}; {answer.refusal}"


CASES = [
    *(
        Case(
            f"planted {kind}: {place.name}",
            "the slide stays",
            planted(Path("out") / place, kind),
            _BATCH,
            stays,
        )
        for kind in ("link", "hard link")
        for place in (
            _META / "lock",
            _META / "batch.log",
            _META / "ledger.sqlite-wal",
            _META / "ledger.sqlite-shm",
            _META / partial_path(Path("heartbeat.json")),
            _SMALL,
        )
    ),
    Case("planted rollback journal that names a slide", "the slide stays", with_journal, _BATCH, stays),
    *(
        Case(
            f"partial file becomes a {kind} while tiles are written",
            "the slide stays",
            planted(Path("planted"), kind),
            f'python wsicomp.convert_slide("SOURCE","TARGET",{_CONFIG},{_SWAP})',
            stays,
        )
        for kind in ("link", "hard link")
    ),
    Case(
        "convert --json REPORT that is a link to a slide, --overwrite",
        "the slide stays",
        beside_another,
        "convert FOLDER/other.svs TARGET --codec copy --glass keep --overwrite --json FOLDER/report.json",
        stays,
    ),
    Case(
        "restore: a file appears under the target's name",
        "kept",
        planted(Path("unused"), "link"),
        "convert SOURCE FOLDER/archive.tiff --codec jpegxl --lossless --glass keep --restorable"
        f'{THEN}python wsicomp.restore_slide("FOLDER/archive.tiff","TARGET",on_progress=lambda*_:'
        'open("TARGET","w").write("theirs"))',
        theirs,
    ),
    Case(
        "target that is a link to nowhere, without --overwrite",
        "refused",
        planted(Path("target-0.tiff"), "dangling link"),
        "convert SOURCE TARGET --codec copy --glass keep",
        lambda answers: answers[0].refusal if answers[0].code else "done",
    ),
]
