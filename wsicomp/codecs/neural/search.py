"""The search for the coarsest step of a model at which a tile is true enough: few of them are tried.

SSIM grows with finer steps, and 1 - SSIM about as the step's size, so that one trial foretells the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wsicomp.codecs.quality import Fidelity

_GROWTH = 0.7
"""1 - SSIM grows at least as this power of a step's size, within one step to the next coarser one."""


@dataclass(frozen=True)
class Guard:
    """The bounds of how far a decoded tile may be from its pixels."""

    min_ssim: float
    """The least SSIM."""
    min_psnr: float
    """The least PSNR, in dB."""
    max_color_shift: float
    """The largest shift of a block's mean colour, in grey levels."""

    def passes(self, found: Fidelity) -> bool:
        """Return whether a decoded tile is close enough."""
        return (
            found.ssim >= self.min_ssim
            and found.psnr >= self.min_psnr
            and found.color_shift <= self.max_color_shift
        )

    def room(self, found: Fidelity) -> float:
        """Return how many times as large 1 - SSIM may be as it is; infinite where SSIM does not bind."""
        return (1 - self.min_ssim) / (1 - found.ssim) if found.ssim < 1 else float("inf")


class StepSearch:
    """The search for one tile: it says which step to try `next`, and is told what was found there.

    >>> search = StepSearch((2.0, 1.0, 0.5), 0, 1, Guard(0.95, 25, 6))
    >>> while search.next is not None:
    ...     search.tell(Fidelity(1 - 0.04 * (2.0, 1.0, 0.5)[search.next], 30, 1))
    >>> search.taken
    1

    `sizes` are the model's steps, from coarse to fine; none before `coarsest` is taken. The search begins at
    `start`.
    """

    def __init__(self, sizes: Sequence[float], coarsest: int, start: int, guard: Guard) -> None:
        self._sizes, self._guard = sizes, guard
        self._refused = coarsest - 1
        self.taken: int | None = None
        """The coarsest step that was accepted; None if none was, which is final once there is no `next`."""
        self.fidelity: Fidelity | None = None
        """The tile's fidelity there."""
        self.next: int | None = start
        """The step to try; None where the search is at its end."""

    def tell(self, found: Fidelity) -> None:
        """Take note of a tile's fidelity at the step `next`, and choose the one after it."""
        tried = self.next
        assert tried is not None, "the search goes on"
        room = self._guard.room(found)
        if self._guard.passes(found):
            self.taken, self.fidelity = tried, found
        else:
            self._refused = tried
        self.next = self._following(tried, room)

    def _following(self, tried: int, room: float) -> int | None:
        """Return the step that comes next; None where the coarsest is found, or none is left."""
        after = len(self._sizes) if self.taken is None else self.taken
        left = range(self._refused + 1, after)
        if not left:
            return None
        if tried == self.taken and room < (self._sizes[tried - 1] / self._sizes[tried]) ** _GROWTH:
            return None  # SSIM alone refuses the next coarser step
        wanted = self._sizes[tried] * room
        fitting = (step for step in left if self._sizes[step] <= wanted)
        return next(fitting, left[-1])
