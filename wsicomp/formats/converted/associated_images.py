"""What of a source's own text and images a target carries, and what it leaves out to name nobody."""

from __future__ import annotations

from dataclasses import replace

from wsicomp.formats.tiff import aperio, layout
from wsicomp.geometry import Size
from wsicomp.slide import AssociatedImage


def carried_image(name: str, image: AssociatedImage, deidentify: bool) -> AssociatedImage:
    """A label, macro or thumbnail with the description and the strips that the target gets."""
    text = aperio.associated_description(name, image.size, image.description)
    if not deidentify:
        return replace(image, description=text)
    return replace(image, description=text.partition("|")[0], icc_profile=None)


def is_true_thumbnail(thumbnail: AssociatedImage, slide: Size) -> bool:
    """Whether a thumbnail has the slide's proportions, as a label passed off as one has not."""
    return layout.has_slide_proportions(thumbnail.size, slide)
