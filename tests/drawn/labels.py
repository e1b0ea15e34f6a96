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


# Labels that cannot be carried on as they are stored

ORIENTATION, FILL_ORDER, PLANAR = 274, 266, 284
PLACEHOLDER = 263
"""A tag that tifffile writes, where it writes no FillOrder."""
WORD = f"{HEAD}\r\n{{0}} 160x144"


def _beside(path, stored, truth, name="label", svs=True, **options):
    """An SVS with a thumbnail, or a generic TIFF without, and one more image, stored in any way."""
    full = scene(WIDTH, HEIGHT, 0)
    thumbnail, low = reduced(full, 8), reduced(full, 4)
    text = WORD.format(name) if svs else f"{name} 160x144"
    kind = {"label": 1, "macro": 9}[name] if svs else 0
    first = described(full) if svs else {}
    second = [(thumbnail, {"description": WORD.format("thumbnail"), "rowsperstrip": 16})] if svs else []
    pages = [(full, first), *second, (low, described(low) if svs else {"subfiletype": 1})]
    write(path, [*pages, (stored, {"description": text, "subfiletype": kind, "rowsperstrip": 48} | options)])
    return Drawn([full, low], images=({"thumbnail": thumbnail} if svs else {}) | {name: truth})


def marked(orientation=3, name="label", svs=True, **options):
    """A picture whose corners differ, with a value of Orientation, as a viewer that heeds the tag shows it.

    The tag turns it as libtiff does: never a row into a column.
    """

    def draw(path):
        picture = label()
        picture[:24, :24] = (200, 30, 30)
        rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
        columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
        tag = [(ORIENTATION, "H", 1, orientation, True)]
        chosen = {"compression": "lzw", "predictor": True, "extratags": tag} | options
        return _beside(path, picture, picture[rows, columns], name, svs, **chosen)

    return draw


def bits_reversed(compression=None, svs=True):
    """A label whose bytes are stored with their bits the other way round, as FillOrder 2 says."""

    def draw(path):
        tag = [(PLACEHOLDER, "H", 1, 2, True)]
        drawn = _beside(path, label(), label(), svs=svs, compression=compression, extratags=tag)
        with tifffile.TiffFile(path) as tiff:
            place = tiff.pages[-1].tags[PLACEHOLDER].offset
            places = list(zip(tiff.pages[-1].dataoffsets, tiff.pages[-1].databytecounts, strict=True))
        data = bytearray(path.read_bytes())
        turned = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
        for offset, count in places:
            data[offset : offset + count] = data[offset : offset + count].translate(turned)
        data[place : place + 2] = FILL_ORDER.to_bytes(2, "little")
        path.write_bytes(data)
        return drawn

    return draw


def turn_last_image(path):
    """Give the last image of a small TIFF Orientation 3, in place of its PlanarConfiguration, which is 1."""
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[-1].tags[PLANAR].offset
    data = bytearray(path.read_bytes())
    data[place : place + 2] = ORIENTATION.to_bytes(2, "little")
    data[place + 8 : place + 10] = (3).to_bytes(2, "little")
    path.write_bytes(data)


def label_of(kind, name="label", svs=True):
    """A label, or macro, whose samples are no interleaved RGB of 8 bits in a compression that is known."""

    def draw(path):
        picture = label()
        grey = picture[..., 1].copy()
        map_ = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
        rgba = np.dstack([picture, np.full(grey.shape, 255, np.uint8)])
        ink = np.dstack([255 - picture, np.zeros(grey.shape, np.uint8)])
        grey_rgb, two = np.dstack([grey] * 3), np.dstack([(grey > 100).astype(np.uint8) * 255] * 3)
        stored, truth, options = {
            "grey": (grey, grey_rgb, {"photometric": "minisblack"}),
            "white is zero": (grey, 255 - grey_rgb, {"photometric": "miniswhite"}),
            "two levels": (grey > 100, two, {"photometric": "minisblack"}),
            "palette": (
                grey,
                map_[:, grey].transpose(1, 2, 0).astype(np.uint8),
                {"photometric": "palette", "colormap": map_ * 257},
            ),
            "alpha": (rgba, picture, {"extrasamples": ("unassalpha",)}),
            "16 bits": (picture.astype(np.uint16) * 257, picture, {}),
            "PackBits": (picture, picture, {"compression": "packbits"}),
            "planes": (picture.transpose(2, 0, 1).copy(), picture, {"planarconfig": "separate"}),
            "CMYK": (ink, picture, {"photometric": "separated"}),
        }[kind]
        return _beside(path, stored, truth, name, svs, **{"compression": "lzw"} | options)

    return draw


KINDS = ("grey", "white is zero", "two levels", "palette", "alpha", "16 bits", "PackBits", "planes", "CMYK")
