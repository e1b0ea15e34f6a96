"""The text and the strips with which a target carries a source's associated images."""

from __future__ import annotations

from dataclasses import replace

from wsicomp.formats.tiff import aperio
from wsicomp.slide import AssociatedImage


def carried_image(name: str, image: AssociatedImage, deidentify: bool) -> AssociatedImage:
    """Return a label, macro or thumbnail with the target's description and ICC profile in place of its own.

    With `deidentify` the description names nobody, and there is no profile.
    """
    text = aperio.associated_description(name, image.size, image.description)
    if not deidentify:
        return replace(image, description=text)
    return replace(image, description=text.partition("|")[0], icc_profile=None)
