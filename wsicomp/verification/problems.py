"""The problems that a written file can have, each kind with a stable code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from wsicomp.text.figures import counted

CODES = {
    "unreadable": "the file, or its provenance block, cannot be parsed",
    "model-missing": "neural tiles cannot be decoded here: their model, its extra or the device is not there",
    "model-damaged": "the model that the file carries is damaged; only machines that have it read the file",
    "openslide-refuses": "OpenSlide does not open the file or does not read a level",
    "openslide-differs": "OpenSlide shows other levels, or other um per px, than the file states",
    "plan-differs": "what the file says of its making is not what its source can be made into",
    "level-differs": "the levels are not those of the source",
    "level-odd": "a level is not level 0 made smaller: another focal plane, a label, or the like",
    "tile-damaged": "a tile's bytes are not those that were written, or do not decode to its size",
    "tile-missing": "a tile that should hold a picture is empty",
    "tile-not-blank": "a tile that should be blank holds something else",
    "tiles-changed": "a level's tiles are not those that were written",
    "property-differs": "um per px, objective power, ICC profile or vendor are not the source's",
    "associated-differs": "a label, macro or thumbnail is not the source's",
    "associated-missing": "a label, macro or thumbnail of the source is not there, though nobody left it out",
    "not-restorable": "the source's file can no longer be rebuilt from it",
    "source-differs": "the file was not made from this source, or does not say from which",
    "pixels-differ": "other programs show a tile otherwise than we do, or than they show the source's",
    "tile-unfaithful": "a neural or JPEG 2000 tile is not as true to the source as was asked for",
    "tile-blanked": "a tile, or what is painted of it, is background where the source shows more than glass",
    "tile-unlike": "a tile that was encoded is not like the source's, by more than its codec loses",
    "tile-not-lost": "a tile stands as damaged or lost in the source, but is sound there",
    "region-missed": "a tile that touches a region was not kept as the region is",
    "tile-differs": "a tile that should be the source's, byte for byte or packed without loss, is not",
}
"""Every code that a `Problem` can have, with its meaning."""


@dataclass(frozen=True)
class Problem:
    """A problem of a written file."""

    code: str
    """One of `CODES`."""
    place: str
    """The tile, level or image that has it."""
    message: str
    """What was found and what was expected."""

    @property
    def level(self) -> str:
        """The level of the tile that has it, as "level 0"; else its place."""
        return self.place.partition(" tile ")[0]

    def __str__(self) -> str:
        return f"{self.code}: {self.place}: {self.message}"


UNLIKE = "tile-unlike"
_OF_MANY = ("tile-blanked", UNLIKE, "tile-not-lost")
_MOST_LISTED = 4


def first_of_each(found: Sequence[Problem]) -> Iterator[Problem]:
    """Yield the problems, with only the first few of a kind that every tile of a foreign file has."""
    counts = dict.fromkeys(_OF_MANY, 0)
    for problem in found:
        counts[problem.code] = counts.get(problem.code, 0) + 1
    reported = dict.fromkeys(counts, 0)
    for problem in found:
        reported[problem.code] += 1
        more = counts[problem.code] - _MOST_LISTED
        if problem.code not in _OF_MANY or reported[problem.code] < _MOST_LISTED:
            yield problem
        elif reported[problem.code] == _MOST_LISTED:
            message = (
                f"{problem.message}; {counted(more, 'more tile')} like it" if more > 0 else problem.message
            )
            yield replace(problem, message=message)
