"""Slides whose images beside the levels are of odd kinds, or look like a level, or like a label.

Every function writes a file and returns what it has drawn: `Drawn` holds the pixels of each level and of the
label, macro and thumbnail that a converter should see.
"""

from __future__ import annotations

import cv2
import numpy as np
import tifffile

from tests.drawn.levels import HEAD, HEIGHT, TILE, WIDTH, Drawn, aperio, label, reduced, scene


def write(path, pages):
    """(pixels, options) of each page, losslessly; in tiles of 64 px unless it gives `rowsperstrip`."""
    with tifffile.TiffWriter(path) as tiff:
        for pixels, chosen in pages:
            tile = {} if "rowsperstrip" in chosen else {"tile": (TILE, TILE)}
            options = {"photometric": "rgb", "compression": "deflate"} | tile | chosen
            tiff.write(pixels, metadata=None, **options)


def scaled(pixels, width, height):
    """A picture of any size that shows the same."""
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def described(pixels):
    """The options of a level of an SVS."""
    return {"description": aperio(pixels.shape[1::-1])}


# What shows the scan is no label, and no level where a better one is there


def second_of_a_label_s_type(path):
    """An SVS whose second image, in strips, shows the slide and has the label's type."""
    full = scene(WIDTH, HEIGHT, 0)
    thumbnail, low = reduced(full, 2), reduced(full, 4)
    strips = {"rowsperstrip": 16, "subfiletype": 1, **described(thumbnail)}
    write(path, [(full, described(full)), (thumbnail, strips), (low, described(low))])
    return Drawn([full, low], images={"thumbnail": thumbnail})


def reduced_in_strips(path):
    """A generic TIFF whose half-size picture is in strips and marked as reduced."""
    full = scene(WIDTH, HEIGHT, 0)
    thumbnail, low = reduced(full, 2), reduced(full, 4)
    write(path, [(full, {}), (thumbnail, {"rowsperstrip": 16, "subfiletype": 1}), (low, {"subfiletype": 1})])
    return Drawn([full, low], images={"thumbnail": thumbnail})


def reduced_in_strips_of_a_sub_ifd(path):
    """An SVS whose half-size picture is in strips of a SubIFD and marked as reduced."""
    full = scene(WIDTH, HEIGHT, 0)
    thumbnail, low = reduced(full, 2), reduced(full, 4)
    strips = {"rowsperstrip": 16, "subfiletype": 1}
    write(path, [(full, {"subifds": 1, **described(full)}), (thumbnail, strips), (low, described(low))])
    return Drawn([full, low], images={"thumbnail": thumbnail})


def label_in_generic(path):
    """A generic TIFF with an image of a label's type that has not the slide's proportions."""
    full = scene(WIDTH, HEIGHT, 0)
    write(path, [(full, {}), (label(), {"rowsperstrip": 16, "subfiletype": 1})])
    return Drawn([full], images={"label": label()})


def nearly_a_level(path, svs=True, places=(1, 2), size=(264, 198)):
    """A tiled thumbnail of nearly the size of the half, which is a level too; `places` are theirs."""
    full = scene(WIDTH, HEIGHT, 0)
    half, odd = reduced(full, 2), scaled(full, *size)
    lower = (odd, half) if places[0] < places[1] else (half, odd)
    pages = [(pixels, described(pixels) if svs else {"subfiletype": 1}) for pixels in lower]
    write(path, [(full, described(full) if svs else {}), *pages])
    return Drawn([full, half], images={"thumbnail": odd})


def nearly_a_level_behind(path):
    """The tiled thumbnail stands behind the level."""
    return nearly_a_level(path, places=(2, 1))


def smaller_than_a_level(path):
    """The tiled thumbnail is a little smaller than the half."""
    return nearly_a_level(path, size=(250, 187))


def nearly_a_level_in_generic(path):
    """The same in a generic TIFF."""
    return nearly_a_level(path, svs=False)


def nearly_a_level_beside_a_thumbnail(path):
    """There is a thumbnail in strips already: the one in tiles is named as not carried on."""
    full = scene(WIDTH, HEIGHT, 0)
    half, odd, thumbnail = reduced(full, 2), scaled(full, 264, 198), reduced(full, 8)
    pages = [(full, described(full)), (thumbnail, {"rowsperstrip": 16, "description": HEAD})]
    write(path, [*pages, (odd, described(odd)), (half, described(half))])
    return Drawn([full, half], images={"thumbnail": thumbnail})
