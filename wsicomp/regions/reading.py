"""What a user can say about a file of regions."""

from __future__ import annotations

from dataclasses import dataclass

from wsicomp.regions.class_table import ClassTable


@dataclass(frozen=True)
class RegionReading:
    """How a file of regions is read and laid over the slide."""

    margin_um: float = 0.0
    """How far around a region its surroundings belong to it, in um."""
    classes: ClassTable | None = None
    """How each class is stored; None leaves all to `roi_codec`, in the file's order."""
    offset: tuple[float, float] | None = None
    """The place (x, y) of the file's upper left corner in pixels of level 0."""
    mpp: float | None = None
    """The um per px of the file's own pixels; None if it says so itself, or covers the whole slide."""
    threshold: float | None = None
    """The least probability of a region; given, a picture of whole numbers is a probability map, too."""
