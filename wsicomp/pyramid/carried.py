"""What of a source's own text and images a target carries, and what it leaves out to name nobody."""

from __future__ import annotations

from dataclasses import replace

from wsicomp.codecs.jpeg_stream import TEXT_MARKERS, without
from wsicomp.codecs.text import holds_text
from wsicomp.geometry import Size
from wsicomp.readers import aperio, layout
from wsicomp.slide import JPEG, AssociatedImage, EncodedTile


def carried_image(name: str, image: AssociatedImage, deidentify: bool) -> AssociatedImage:
    """A label, macro or thumbnail with the description and the strips that the target gets."""
    text = aperio.associated_description(name, image.size, image.description)
    if not deidentify:
        return replace(image, description=text)
    strips = image.strips
    if image.encoding.compression == JPEG:
        strips = tuple(map(_without_text, strips))
    return replace(image, description=aperio.deidentify(text)[0], strips=strips)


def is_nameless(image: AssociatedImage) -> bool:
    """Whether nothing but the picture is left of an image when `carried_image` has deidentified it."""
    strips = carried_image("thumbnail", image, deidentify=True).strips
    try:
        return not any(holds_text(EncodedTile(strip, image.encoding, image.size)) for strip in strips)
    except ValueError:  # who knows what a damaged one holds
        return False


def _without_text(strip: bytes) -> bytes:
    """A JPEG strip without its text; one whose header is damaged as it is."""
    try:
        return without(strip, TEXT_MARKERS)
    except ValueError:
        return strip


def shows_the_scan(thumbnail: AssociatedImage, slide: Size) -> bool:
    """Whether a thumbnail has the slide's proportions, as a label passed off as one has not."""
    return layout.shows_the_scan(thumbnail.size, slide)
