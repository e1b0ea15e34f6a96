"""The recommendation: which row of a comparison to take, by the user's constraints, and why.

It is a function of the results alone: nothing is read or measured here.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from wsicomp.comparison.candidates import Candidate, candidates
from wsicomp.comparison.convert_command import convert_command, suffixes_apart
from wsicomp.comparison.judge import CONSTRAINTS, Judge, named_row, spelled_option, spoiling_regions
from wsicomp.comparison.outcomes import OPENSLIDE, WSICOMP, RowOutcome
from wsicomp.comparison.results import Comparison
from wsicomp.text.figures import as_percent

LEAST_SAVED = 0.03
"""What saves a smaller part of the sources is not worth a conversion; `batch` keeps such sources, too."""
NEAR = 0.01
"""Rows tie that are less than this part of the sources' bytes apart."""


class Verdict(enum.StrEnum):
    """The verdict of a comparison."""

    TAKE = "take"
    """Convert by this row."""
    LEAVE = "leave"
    """Leave the slides as they are: what fits saves next to nothing."""
    NOTHING = "nothing"
    """No row fits the constraints."""


@dataclass(frozen=True)
class Alternative:
    """The best row without one of the constraints, where it saves more."""

    without: str
    """The option to give instead, as Python spells it."""
    codec: str
    """The codec's label."""
    glass: str
    """What becomes of glass."""
    part: float
    """The part of the sources' bytes that remains."""
    sentence: str
    """The same in one sentence."""


@dataclass(frozen=True)
class Recommendation:
    """The row to take, with the reason and the command line that makes it."""

    verdict: Verdict
    """What to do."""
    sentence: str
    """The verdict in one sentence."""
    reason: str
    """The reason for it; "" where the sentence has it."""
    codec: str = ""
    """The codec's label; of the row that comes nearest where nothing fits; "" where there is none."""
    glass: str = ""
    """What becomes of glass."""
    part: float | None = None
    """The part of the sources' bytes that remains."""
    part_low: float | None = None
    """Lower end of its 95 % interval; None where it was counted."""
    part_high: float | None = None
    """Upper end of this interval."""
    outcome: RowOutcome | None = None
    """What becomes of tissue and file."""
    least_ssim: float | None = None
    """SSIM of the worst tissue tile."""
    command: str = ""
    """The command line that makes this row; "" where nothing is to be done."""
    alternatives: tuple[Alternative, ...] = ()
    """What fewer constraints would gain."""
    excluded: tuple[str, ...] = ()
    """Which constraint excludes what."""


def recommend(found: Comparison) -> Recommendation:
    """Return the row of a comparison to take, under its constraints.

    The smallest row wins that fits. Among those that tie with it the simpler one wins: a copy before tiles
    that are repacked, these before others without loss, and these before any with loss; then what more
    programs open, then what does less to glass. A slide that a row cannot make counts as left as it is; a row
    that makes no more than half of the bytes is not recommended. Of a comparison with regions only rows count
    that keep them.

    >>> recommend(comparison).sentence  # doctest: +SKIP
    'Take jpeg-lossless, glass white: 78.1 % of your bytes; every pixel of tissue stays; ...'
    """
    compared = candidates(found)
    every = [each for each in compared if each.keeps_regions]
    slides = sum(not slide.error for slide in found.slides)
    judge = Judge(found.constraints, slides)
    fitting = [each for each in every if not judge.broken(each)]
    worth = [each for each in fitting if _is_worth(each)]
    excluded = (*spoiling_regions(compared), *judge.exclusions(every))
    if worth:
        chosen, reason = _choose(worth)
        return _about(
            found,
            chosen,
            Verdict.TAKE,
            f"Take {named_row(chosen)}: {judge.facts(chosen)}.",
            reason,
            tuple(_alternatives(every, judge, chosen.part)),
            excluded,
        )
    whole = [each for each in every if "slides" not in judge.broken(each)]
    minor = [each for each in every if each.left and not each.makes_most and _is_worth(each)]
    if fitting or not any(map(_is_worth, whole)):
        return _left(fitting, whole, minor, judge, tuple(_alternatives(every, judge, 1.0)), excluded)
    return _nothing(found, [each for each in whole if _is_worth(each)], minor, judge, excluded)


def _is_worth(row: Candidate) -> bool:
    return row.part <= 1 - LEAST_SAVED


def _choose(rows: Sequence[Candidate]) -> tuple[Candidate, str]:
    """Return the row to take among those that fit, and the reason."""
    by_codec: dict[str, list[Candidate]] = {}
    for row in rows:
        by_codec.setdefault(row.codec, []).append(row)
    # One codec's rows were measured on the same tiles: their intervals say nothing about glass.
    ways = [_simplest(_near(some)) for some in by_codec.values()]
    smallest = min(ways, key=lambda row: row.part)
    tied = [row for row in ways if row is smallest or _ties(row, smallest)]
    chosen = _simplest(tied)
    least = min(rows, key=lambda row: row.part) if chosen is smallest else smallest
    if chosen is not least:
        return chosen, _why_simpler(chosen, least)
    if len(rows) == 1:
        return chosen, "It is the only row that fits and saves."
    others = sorted((row for row in rows if row.codec != chosen.codec), key=lambda row: row.part)
    after = f"; next is {named_row(others[0])}: {as_percent(others[0].part)}" if others else ""
    kept = " and keep the regions" if any(row.exact_regions for row in rows) else ""
    return chosen, f"It is the smallest of {len(rows)} rows that fit{kept}{after}."


def _near(rows: Sequence[Candidate]) -> list[Candidate]:
    least = min(row.part for row in rows)
    return [row for row in rows if row.part - least <= NEAR]


def _simplest(rows: Iterable[Candidate]) -> Candidate:
    return min(rows, key=lambda row: (*row.complexity, row.part))


def _ties(row: Candidate, smallest: Candidate) -> bool:
    if row.part - smallest.part <= NEAR:
        return True
    return row.low is not None and smallest.high is not None and row.low <= smallest.high


def _why_simpler(chosen: Candidate, smallest: Candidate) -> str:
    if chosen.part - smallest.part <= NEAR:
        apart = f"less than {as_percent(NEAR)} of your bytes away"
    else:
        apart = "within the error of this sample (a larger `sample` tells)"
    better = "simpler" if chosen.kind != smallest.kind else "one that more viewers open"
    if (chosen.kind, chosen.closed) == (smallest.kind, smallest.closed):
        better = "one that does less to glass"
    return f"{named_row(smallest)} makes {as_percent(smallest.part)}, {apart}: this is the {better}."


def _alternatives(every: Sequence[Candidate], judge: Judge, part: float) -> Iterator[Alternative]:
    """Yield for each constraint the best row without it, where that saves more than `part` leaves.

    Last comes the best row without the two that most often go together, where it saves more than these.
    """
    least = part
    for names, gain in _GAINS.items():
        most = (part if len(names) == 1 else least) - NEAR
        rows = [
            row for row in every if judge.broken(row) == set(names) and row.part < most and _is_worth(row)
        ]
        if not rows:
            continue
        chosen, _ = _choose(rows)
        instead = " and ".join(_instead(name, chosen) for name in names)
        makes = f"{named_row(chosen)} makes {as_percent(chosen.part)} of your bytes"
        said = "; ".join([f"{gain}: {makes}", *judge.left(chosen), f"but {judge.breach(chosen)}"])
        sentence = f"{said}: {instead}."
        yield Alternative(instead, chosen.codec, chosen.glass, chosen.part, sentence)
        least = min(least, chosen.part)


_GAINS = {
    ("min_ssim",): "With loss",
    ("opens_in",): "For fewer viewers",
    ("reversible",): "Without the way back",
    ("min_ssim", "opens_in"): "With loss and for fewer viewers",
}
"""Constraints to leave out, with what that means."""


def _instead(name: str, row: Candidate) -> str:
    """Return the option that allows a row."""
    assert row.outcome is not None, "it has figures"
    if name == "opens_in":
        return spelled_option(name, f'"{OPENSLIDE if row.outcome.opens_in_openslide else WSICOMP}"')
    if name == "reversible":
        return f"leave {spelled_option(name)} out"
    return spelled_option(name, f"{math.floor((row.least_ssim or 0) * 100) / 100:g}")


def _left(
    fitting: Sequence[Candidate],
    whole: Sequence[Candidate],
    minor: Sequence[Candidate],
    judge: Judge,
    alternatives: tuple[Alternative, ...],
    excluded: tuple[str, ...],
) -> Recommendation:
    """Return the advice to leave the slides alone.

    `whole` are all rows that make most of the bytes, `minor` those that save and make less.
    """
    if not whole:
        what = "every slide" if judge.slides == 1 else "more than half of your bytes by one setting"
        sentence = f"Nothing can be recommended: no codec could convert {what}."
        return Recommendation(Verdict.NOTHING, sentence, _of_few(minor, judge), excluded=excluded)
    rows = fitting or whole
    codec = min(rows, key=lambda row: row.part).codec
    best = _simplest(_near([row for row in rows if row.codec == codec]))
    where = _ON_MOST if minor else ""
    which = f"what fits{where}" if fitting else f"what was compared{where}, fitting or not,"
    what = f"{which} makes it no smaller" if best.part >= 1 else f"{which} saves next to nothing"
    why = (
        f"The smallest is {named_row(best)}: {as_percent(best.part)} of your bytes; to save less than "
        f"{LEAST_SAVED * 100:g} % is not worth a conversion. {_of_few(minor, judge)}"
    )
    return Recommendation(
        Verdict.LEAVE,
        f"Leave it as it is: {what}.",
        why.rstrip(),
        alternatives=alternatives,
        excluded=excluded,
    )


_ON_MOST = " on most of your bytes"


def _of_few(minor: Sequence[Candidate], judge: Judge) -> str:
    """Return what the best row saves that fits and makes less than most of the bytes; "" if there is none."""
    fitting = [row for row in minor if not judge.unmet(row)]
    if not fitting:
        return ""
    best = _simplest(_near(fitting))
    left = "; ".join(judge.left(best))
    return f"{named_row(best)} leaves {as_percent(best.part)} of your bytes, but {left}."


def _nothing(
    found: Comparison,
    rows: Sequence[Candidate],
    minor: Sequence[Candidate],
    judge: Judge,
    excluded: tuple[str, ...],
) -> Recommendation:
    """Return that nothing fits, and which of the rows comes nearest."""

    def distance(row: Candidate) -> tuple[float, ...]:
        assert row.outcome is not None, "it has figures"
        broken = judge.broken(row)
        refusing = len(judge.refusing(row)) if "opens_in" in broken else 0
        return len(broken & judge.asked), len(broken), refusing, row.kind, row.part

    first = min(rows, key=distance)
    alike = [row for row in rows if row.codec == first.codec and distance(row)[:3] == distance(first)[:3]]
    nearest = _simplest(_near(alike))
    wanted = [judge.spelled(name) for name in CONSTRAINTS if judge.binds(name)]
    why = f"The nearest is {named_row(nearest)}: {judge.facts(nearest)}. But {judge.breach(nearest)}."
    return _about(
        found,
        nearest,
        Verdict.NOTHING,
        f"Nothing that saves fits {_joined(wanted)}{_ON_MOST if minor else ''}.",
        f"{why} {_of_few(minor, judge)}".rstrip(),
        (),
        excluded,
    )


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _about(
    found: Comparison,
    row: Candidate,
    verdict: Verdict,
    sentence: str,
    reason: str,
    alternatives: tuple[Alternative, ...],
    excluded: tuple[str, ...],
) -> Recommendation:
    low, high = row.shown_interval or (None, None)
    options = {**(row.options or {}), **found.shared}
    sources = found.sources
    apart = suffixes_apart(row.left, [slide.slide for slide in found.slides if not slide.error])
    command = convert_command(sources, found.is_folder, row.container, options, apart) if sources else ""
    return Recommendation(
        verdict,
        sentence,
        reason,
        row.codec,
        row.glass,
        row.part,
        low,
        high,
        row.outcome,
        row.least_ssim,
        command,
        alternatives,
        excluded,
    )
