"""What a program makes of ledgers that were edited, of other slides' conversions, and of clocks that leap.

Run by `scripts/cases` with the program of any checkout, with `kind`, `source` and `target` as globals;
`answer` is what came of it. The slides at `source` are drawn, and `target` is not there yet.
"""

import contextlib
import hashlib
import io
import os
import runpy
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from wsicomp import ConversionConfig, restore_slide
from wsicomp.batch.ledger import Ledger
from wsicomp.cli import main
from wsicomp.errors import KeptError, WsicompError

try:
    from wsicomp.batch.monitoring import lock_tree
    from wsicomp.batch.proof import ProofJob
    from wsicomp.batch.quarantine import move_to_quarantine
    from wsicomp.batch.worklist import Trees
except ImportError:  # 0.6.0 and earlier
    from wsicomp.batch.removal import ProofJob
    from wsicomp.batch.removal import quarantined as move_to_quarantine
    from wsicomp.batch.survey import Trees
    from wsicomp.batch.watch import held_alone as lock_tree

DRAWN = runpy.run_path(str(Path(__file__).parent.parent / "tests/drawn/ledgers.py"))
CONFIG = getattr(ConversionConfig, "of", ConversionConfig)(
    codec="jpegxl", lossless=True, glass="keep", restorable=True
)
JOBS = ["--jobs", "2", "--min-free", "0"]
CONVERT = ["--codec", "jpegxl", "--lossless", "--glass", "keep", "--restorable", *JOBS]
DELETE = ["--delete-source-after-verify", "--quarantine-days", "0"]
FLIPS = 30
LIMIT_S = 180


def command(*arguments: object) -> tuple[int, str]:
    """The exit code of a batch command, and what it said; 99 for a traceback."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            return main(["batch", *map(str, arguments)]), out.getvalue() + err.getvalue()
        except Exception as exc:
            return 99, repr(exc)


def night(source: Path, target: Path) -> None:
    """Convert the slides."""
    code, said = command(source, target, *CONVERT)
    assert code == 0, said


def edited(source: Path, target: Path, edits: Iterable[Callable[[Path], None]]) -> str:
    """Every command on copies of the trees, each with one edit, and last a batch that deletes sources."""
    found: Counter[str] = Counter()
    for number, edit in enumerate(edits):
        signal.alarm(LIMIT_S)  # ends a program that hangs
        folder = target.parent / f"edit {number}"
        shutil.copytree(source, folder / "source")
        shutil.copytree(target, folder / "target")
        DRAWN["edit"](folder / "target", ("UPDATE facts SET value = ?", (str(folder / "source"),)))
        before = {path.name: path.read_bytes() for path in (folder / "source").rglob("*.svs")}
        try:
            edit(folder / "target")
        except sqlite3.OperationalError:  # of a column that this version has not
            shutil.rmtree(folder)
            continue
        asked = [("status",), ("report",), ("report", "--json", "-"), ("accept",)]
        codes = [command(name, folder / "target", *more)[0] for name, *more in asked]
        again = (*JOBS, "--codec", "copy")
        codes.append(command(folder / "source", folder / "target", *again, "--segmenter", "threshold")[0])
        codes.append(command(folder / "source", folder / "target", *CONVERT, *DELETE)[0])
        left = {path.read_bytes() for path in folder.rglob("*.svs")}
        left |= set(rebuilt(folder / "target", folder / "again.svs"))
        found["tracebacks"] += 99 in codes
        found["refused"] += all(code == 1 for code in codes[:3])
        found["slides lost"] += sum(data not in left for data in before.values())
        shutil.rmtree(folder)
    signal.alarm(0)
    return ", ".join(f"{found[name]} {name}" for name in ("refused", "tracebacks", "slides lost"))


def rebuilt(target: Path, again: Path) -> Iterator[bytes]:
    """The slides that the conversions of a tree give back."""
    for path in target.rglob("*.tiff"):
        with contextlib.suppress(WsicompError):
            restore_slide(path, again, overwrite=True)
            yield again.read_bytes()


def beats(target: Path) -> str:
    """The status of a tree that is held, with every heartbeat."""
    codes = []
    with lock_tree(target):
        for text in DRAWN["HEARTBEATS"].values():
            DRAWN["beat"](target, text)
            codes += [command("status", target)[0], command("status", target, "--json")[0]]
    return f"{codes.count(99)} tracebacks"


def replaced(source: Path, target: Path) -> str:
    """Delete the slides after their proof, lose the ledger, put another slide in the place of one."""
    command(source, target, *CONVERT, *DELETE)
    shutil.rmtree(target / ".wsicomp")
    name = DRAWN["SLIDES"][0]
    only = hashlib.sha256((target / f"{name}.tiff").read_bytes()).hexdigest()
    (source / name).parent.mkdir(exist_ok=True)
    shutil.copy(source.parent / "another.svs", source / name)
    code, _ = command(source, target, *CONVERT, "--overwrite")
    there = {hashlib.sha256(path.read_bytes()).hexdigest() for path in target.rglob("*.tiff")}
    return f"exit {code}, the only copy {'stays' if only in there else 'is lost'}"


def unseen(source: Path, target: Path) -> str:
    """Edit a target in place between proof and removal, and put its time back."""
    name = DRAWN["SLIDES"][0]
    with Ledger(target, read_only=True) as ledger:
        entry = next(entry for entry in ledger.entries() if entry.source == name)
    trees = Trees(source, target)
    path = trees.target_of(entry)
    digests = entry.source_sha256, entry.target_sha256
    by = {"config": CONFIG} if "config" in ProofJob.__dataclass_fields__ else {"workers": 1}
    job = ProofJob(name, source / name, path, *digests, even_if_lossy=False, **by)
    facts = job.run(lambda *_: None).facts
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(bytes(9))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    try:
        move_to_quarantine(entry, trees, facts)
    except KeptError as exc:
        return f"the source stays: {exc}"
    return "the source goes"


def believed(source: Path, target: Path) -> str:
    """Have the ledger say that somebody looked at a slide without tissue, then that its days are over."""
    for path in source.rglob("*.svs"):
        path.unlink()
    shutil.copy(source.parent / "glass.svs", source)
    lossy = ["--segmenter", "threshold", *JOBS, DELETE[0], "--even-if-lossy"]
    command(source, target, *lossy)
    told = []
    for words in (
        "state = 'done', look = '', accepted = '2026-01-01T00:00:00+00:00', kept_because = ''",
        "quarantine_age = 100.0, quarantine_runs = 9, removed = '2020-01-01T00:00:00+00:00'",
    ):
        for part in words.split(", "):
            with contextlib.suppress(sqlite3.OperationalError):  # of a column that this version has not
                DRAWN["edit"](target, (f"UPDATE slides SET {part}", ()))
        command(source, target, *lossy)
        held = source / ".wsicomp-quarantine/glass.svs"
        there = (source / "glass.svs").exists()
        told.append("stays" if there else "is in quarantine" if held.exists() else "is deleted")
    return f"the source {told[0]}, then {told[1]}"


class Ahead(datetime):
    """A clock that is 30 days ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + timedelta(days=30)


def leapt(source: Path, target: Path) -> str:
    """A run under such a clock, and what of the quarantine is left."""
    delete = DELETE[:1]
    command(source, target, *CONVERT, *delete)
    held = source / ".wsicomp-quarantine"
    before = len(list(held.rglob("*.svs")))
    for name, module in list(sys.modules.items()):
        if name.startswith("wsicomp.batch") and getattr(module, "datetime", None) is datetime:
            module.datetime = Ahead
    command(source, target, *CONVERT, *delete)
    return f"{len(list(held.rglob('*.svs')))} of {before} are left"


def answered(kind: str, source: Path, target: Path) -> str:
    """What came of a kind of edits."""
    night(source, target)
    if kind in ("PATHS_OUT", "WRONG_VALUES", "WRONG_SHAPES"):
        return edited(source, target, DRAWN[kind].values())
    if kind == "FLIPS":
        flips = [lambda tree, seed=seed: DRAWN["flip"](tree, seed, 8) for seed in range(FLIPS)]
        return edited(source, target, flips)
    kinds = {"HEARTBEATS": lambda: beats(target), "REPLACED": lambda: replaced(source, target)}
    kinds["BELIEVED"] = lambda: believed(source, target)
    kinds |= {"UNSEEN": lambda: unseen(source, target), "LEAPT": lambda: leapt(source, target)}
    return kinds[kind]()


if "kind" in globals():
    answer = answered(globals()["kind"], Path(globals()["source"]), Path(globals()["target"]))
