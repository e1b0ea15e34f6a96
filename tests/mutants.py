"""One drawn slide through every road, and what came of it."""

from __future__ import annotations

import contextlib
import shutil
import signal
import traceback
from dataclasses import dataclass

import wsicomp
from tests.drawn.agreement import differences
from tests.drawn.mutants import draw_mutant
from wsicomp import ConversionConfig, WsicompError
from wsicomp.errors import VerificationError

ROADS = {
    "copy": {"codec": "copy"},
    "jpeg": {"codec": "jpeg"},
    "jpegxl lossless": {"codec": "jpegxl", "lossless": True, "effort": 1},
}
CHECKED = "damaged, and refused by the check of what was written"
AGREE, BY_OTHERS, REFUSED = (
    "agree",
    "agree, OpenSlide alone shows the source otherwise",
    "refused in one line",
)
LIMIT_S = 60


@dataclass(frozen=True)
class Tried:
    """What came of a slide on a road: `outcome` is one of three good ones, or says what is wrong."""

    seed: int
    road: str
    outcome: str
    facts: str
    is_good: bool


class HangsError(Exception):
    """A conversion that does not come to an end."""


def try_mutant(seed, folder):
    """Draw a slide and send it through every road; its files are gone afterwards."""
    folder = folder / str(seed)
    folder.mkdir()
    source = folder / f"mutant.{'svs' if seed % 2 else 'tif'}"
    facts = draw_mutant(source, seed)
    found = []
    for number, (road, options) in enumerate(ROADS.items()):
        target = folder / f"target-{number}.tif"
        outcome = _outcome(source, target, options, road, facts)
        is_good = outcome in (AGREE, BY_OTHERS) or outcome.startswith((REFUSED, CHECKED))
        found.append(Tried(seed, road, outcome, facts, is_good))
        target.unlink(missing_ok=True)
    left = sorted(path.name for path in folder.iterdir() if path != source)
    if left:
        found.append(Tried(seed, "all", f"left behind: {', '.join(left)}", facts, is_good=False))
    shutil.rmtree(folder)
    return found


def _outcome(source, target, options, road, facts):
    try:
        with limited():
            config = ConversionConfig.of(glass="keep", workers=1, **options)
            notes = wsicomp.convert_slide(source, target, config).notes
            lacks = any("not carried on" in note for note in notes)
            told, by_others = differences(source, target, road != "jpeg", lacks)
    except VerificationError as exc:
        kind = CHECKED if "damaged" in facts or "cut" in facts else "its own check failed"
        return f"{kind}: {exc.message[:300]}"
    except HangsError:
        return f"no end after {LIMIT_S} s"
    except WsicompError as exc:
        return f"{REFUSED}: {exc.message}" if "\n" not in str(exc) else f"refused in many lines: {exc}"
    except Exception as exc:  # that is what is looked for
        last = traceback.extract_tb(exc.__traceback__)[-1]
        return f"{type(exc).__name__} at {last.filename.rpartition('/')[2]}:{last.lineno}: {exc}"
    if told:
        return f"pixels differ: {told[0]}"
    return BY_OTHERS if by_others else AGREE


@contextlib.contextmanager
def limited():
    def stop(*_):
        raise HangsError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
