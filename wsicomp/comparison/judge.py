"""The judge of a comparison: which constraints a row breaks, and what it is, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wsicomp.comparison.candidates import COPY, EVERYWHERE, Candidate
from wsicomp.comparison.outcomes import ANY, WSICOMP
from wsicomp.comparison.results import Constraints
from wsicomp.conversion.outcome import Tissue
from wsicomp.formats.compatibility import program_names
from wsicomp.text.figures import as_bytes, as_percent, counted

CONSTRAINTS = ("opens_in", "min_ssim", "reversible")
"""The constraints, as options name them."""
_CODE = "`"


@dataclass(frozen=True)
class Judge:
    """Judges rows by the constraints."""

    constraints: Constraints
    """What a recommended conversion has to be."""
    slides: int
    """How many slides were compared."""

    @property
    def asked(self) -> frozenset[str]:
        """The constraints that are not the defaults."""
        plain = Constraints()
        names = CONSTRAINTS
        return frozenset(name for name in names if getattr(self.constraints, name) != getattr(plain, name))

    def binds(self, name: str) -> bool:
        """Return whether a constraint may exclude anything."""
        wanted = self.constraints
        return {"opens_in": wanted.opens_in != WSICOMP, "reversible": wanted.reversible}.get(name, True)

    def broken(self, row: Candidate) -> frozenset[str]:
        """Return the constraints that a row breaks; "slides" where it is no one way for most of the bytes."""
        if row.outcome is None or not row.makes_most or row.options is None:
            return frozenset(["slides"])
        return self.unmet(row)

    def unmet(self, row: Candidate) -> frozenset[str]:
        """Return the constraints that a row breaks on the slides that it makes."""
        assert row.outcome is not None, "it has figures"
        wanted = self.constraints
        fits = {
            "opens_in": self._opens(row),
            "min_ssim": row.outcome.is_lossless or self._is_alike(row),
            "reversible": row.outcome.reversible or not wanted.reversible,
        }
        return frozenset(name for name, is_met in fits.items() if not is_met)

    def refusing(self, row: Candidate) -> list[str]:
        """Return the programs that ought to open a file and do not."""
        assert row.outcome is not None, "it has figures"
        return [name for name in row.outcome.not_in if name not in row.excused]

    def _opens(self, row: Candidate) -> bool:
        assert row.outcome is not None, "it has figures"
        if self.constraints.opens_in == ANY:
            return not self.refusing(row)
        return self.constraints.opens_in == WSICOMP or row.outcome.opens_in_openslide

    def _is_alike(self, row: Candidate) -> bool:
        least = self.constraints.min_ssim
        return least is not None and row.least_ssim is not None and row.least_ssim >= least

    def spelled(self, name: str) -> str:
        """Return a constraint as the user gave it."""
        if name == "opens_in":
            return spelled_option(name, f'"{self.constraints.opens_in}"')
        if name == "reversible":
            return spelled_option(name)
        least = self.constraints.min_ssim
        return "exact tissue" if least is None else spelled_option(name, f"{least:g}")

    def exclusions(self, every: Sequence[Candidate]) -> Iterator[str]:
        """Yield which constraint excludes what, and which codec does not make every slide."""
        for name in CONSTRAINTS:
            out = [each for each in every if name in self.broken(each)]
            if out:
                rows = counted(len(every), "row")
                yield f"{self.spelled(name)} excludes {len(out)} of {rows}: {_listed(out, every)}"
        some = [each for each in every if each.left or "slides" in self.broken(each)]
        for each in {row.codec: row for row in some}.values():
            yield f"{each.codec}: {self._why_not_all(each)}"

    def _why_not_all(self, row: Candidate) -> str:
        if row.left:
            where = "" if self.slides == 1 else f"of {len(row.left)} of {self.slides} slides "
            return f"{where}not made: {row.reason}" if row.reason else f"{where}not made"
        return "each slide has a setting of its own; take the presets"

    def breach(self, row: Candidate) -> str:
        """Return in words what a row breaks."""
        broken = self.broken(row)
        if "slides" in broken:
            return self._why_not_all(row)
        assert row.outcome is not None, "it has figures"
        words = []
        if "opens_in" in broken:
            refusing = self.refusing(row) or list(row.outcome.not_in or row.outcome.partly_in)
            words.append(f"{_some(refusing)} {'does' if len(refusing) == 1 else 'do'} not open it")
        if "min_ssim" in broken:
            least = "unknown" if row.least_ssim is None else f"{row.least_ssim:.3f}"
            words.append(f"it changes tissue{_outside(row)} (SSIM of the worst tile {least})")
        if "reversible" in broken:
            words.append("the source's file does not come back")
        return ", and ".join(words)

    def facts(self, row: Candidate) -> str:
        """Return the facts of a row in one clause: its size, its tissue, who opens it, and what it leaves.

        What breaks a constraint is left to `breach`.
        """
        assert row.outcome is not None, "it has figures"
        broken = self.broken(row)
        facts = [f"{as_percent(row.part)} of your bytes{_between(row)}"]
        facts += [] if "min_ssim" in broken else [_tissue(row)]
        facts += _regions(row)
        facts += [] if "opens_in" in broken else [_opened(row)]
        if row.outcome.reversible:
            facts.append("`wsicomp.restore` gives the source back")
        return "; ".join([*facts, *self.left(row)])

    def left(self, row: Candidate) -> list[str]:
        """Return a clause on the slides that stay as they are, if any."""
        if not row.left:
            return []
        stay = "stays as it is" if len(row.left) == 1 else "stay as they are"
        return [f"{len(row.left)} of {self.slides} slides ({as_bytes(row.left_bytes)}) {stay}"]


def named_row(row: Candidate) -> str:
    """Return codec and glass of a row in words."""
    return f"{row.codec}, glass {row.glass}"


def _opened(row: Candidate) -> str:
    outcome = row.outcome
    assert outcome is not None, "it has figures"
    if _opens_as_the_source(row):
        return "opens wherever the source opens"
    if not outcome.not_in:
        some = f", partly in {_some(outcome.partly_in)}" if outcome.partly_in else ""
        return f"opens in every viewer tried{some}"
    opened = outcome.programs - len(outcome.not_in)
    return f"opens in {opened} of {outcome.programs} viewers tried, not in {_some(outcome.not_in)}"


def _opens_as_the_source(row: Candidate) -> bool:
    if row.source is None or row.outcome is None:
        return False
    closed, partly = row.source
    return closed.issuperset(row.outcome.not_in) and (closed | partly).issuperset(row.outcome.partly_in)


def _between(row: Candidate) -> str:
    if row.shown_interval is None:
        return ""
    low, high = (f"{end * 100:.1f}" for end in row.shown_interval)
    return "" if low == high else f" ({low} to {high} %)"


def _tissue(row: Candidate) -> str:
    assert row.outcome is not None, "it has figures"
    if row.outcome.is_lossless:
        exact = "tissue stays byte for byte" if row.kind == COPY else "tissue gives its bytes back"
        return exact if row.outcome.tissue is Tissue.BYTES else "every pixel of tissue stays"
    least = "unknown" if row.least_ssim is None else f"{row.least_ssim:.3f}"
    return f"tissue{_outside(row)} changes, the worst tile has SSIM {least}"


def _outside(row: Candidate) -> str:
    return " outside of the regions" if row.exact_regions else ""


def _regions(row: Candidate) -> list[str]:
    where = "" if row.exact_regions == EVERYWHERE else f" {row.exact_regions}"
    return [f"every pixel of the regions stays{where}"] if row.exact_regions else []


def spoiling_regions(every: Sequence[Candidate]) -> Iterator[str]:
    """Yield a line on the rows that do not keep regions, if there are any."""
    out = [row for row in every if not row.keeps_regions]
    if out:
        yield f"the regions exclude {len(out)} of {counted(len(every), 'row')}: {_listed(out, every)}"


def _some(names: Sequence[str]) -> str:
    """Return the first few of the programs, and how many more there are."""
    short = program_names(names)
    shown = ", ".join(short[:3])
    return shown if len(short) <= 3 else f"{shown} and {len(short) - 3} more"


def _listed(out: Sequence[Candidate], every: Sequence[Candidate]) -> str:
    """Return rows by their codecs, with the treatments of glass where a codec has others too."""
    glass: dict[str, list[str]] = {}
    for row in out:
        glass.setdefault(row.codec, []).append(row.glass)
    rows = [row.codec for row in every]
    return ", ".join(
        codec if rows.count(codec) == len(some) else f"{codec} (glass {' and '.join(some)})"
        for codec, some in glass.items()
    )


def spelled_option(name: str, value: str = "") -> str:
    """Return an option as messages name it.

    >>> print(spelled_option("min_ssim", "0.95"))
    `min_ssim=0.95`
    """
    return f"{_CODE}{name}={value}{_CODE}" if value else f"{_CODE}{name}{_CODE}"
