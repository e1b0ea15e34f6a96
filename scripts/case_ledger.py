"""Cases of `scripts/cases` about what a ledger says: edited, lost, of another slide, and by a wrong clock."""

from pathlib import Path
from typing import Any

from case_list import Case, said

from tests.drawn import ledgers, nights

_ASK = Path(__file__).parent / "ask_ledger.py"


def tree(folder: Path) -> list[tuple[Path, Any]]:
    """Three slides, and another one beside them."""
    for number, name in enumerate(ledgers.SLIDES):
        nights.draw_tissue(folder / "source" / name, number)
    nights.draw_tissue(folder / "another.svs", 9)
    nights.draw_glass(folder / "glass.svs")
    return [(folder / "source", None)]


def asked(kind: str) -> str:
    """The command that asks a program what it makes of a kind of edits."""
    values = f"dict(kind='{kind}',source='SOURCE',target='TARGET')"
    return f"python __import__('runpy').run_path('{_ASK}',{values})['answer']"


def _refused(count: int) -> str:
    return f"{count} refused, 0 tracebacks, 0 slides lost"


CASES = [
    Case(
        "ledger: paths out of their trees, in all commands",
        _refused(len(ledgers.PATHS_OUT)),
        tree,
        asked("PATHS_OUT"),
        said,
    ),
    Case(
        "ledger: values of other types and sizes, in all commands",
        _refused(len(ledgers.WRONG_VALUES)),
        tree,
        asked("WRONG_VALUES"),
        said,
    ),
    Case(
        "ledger: cut, foreign, other tables, in all commands",
        _refused(len(ledgers.WRONG_SHAPES)),
        tree,
        asked("WRONG_SHAPES"),
        said,
    ),
    Case(
        "ledger: 30 times 8 bits flipped, in all commands",
        "0 tracebacks, 0 slides lost",
        tree,
        asked("FLIPS"),
        said,
    ),
    Case("heartbeat: 18 of other shapes, in status", "0 tracebacks", tree, asked("HEARTBEATS"), said),
    Case(
        "batch --overwrite: lost ledger, a new slide by a deleted one's name",
        "exit 1, the only copy stays",
        tree,
        asked("REPLACED"),
        said,
    ),
    Case(
        "batch: a target edited between proof and removal, its time put back",
        "the source stays",
        tree,
        asked("UNSEEN"),
        said,
    ),
    Case(
        "batch: a ledger that says that somebody looked, and that days have passed",
        "the source stays, then stays",
        tree,
        asked("BELIEVED"),
        said,
    ),
    Case("batch: a clock 30 days ahead", "3 of 3 are left", tree, asked("LEAPT"), said),
]
