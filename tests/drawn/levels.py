"""Slides on which it is not plain what is a level: focal planes, SubIFDs, tiled labels, labels stored second.

Every function writes a file and returns what it has drawn: `Drawn` holds the pixels of each level that a
converter should see, and of the label, macro and thumbnail. Pixels are stored as JPEG of one colour to the
tile, so that a decoder is at most a grey level or two off.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import tifffile

WIDTH, HEIGHT, TILE = 512, 384, 64
HEAD = "Aperio Image Library v12.0"
PATIENT = "Roe^Jane"


@dataclass
class Drawn:
    """What a file shows. `levels` are the pixels of the slide, an array a level; of `planes`, a list each."""

    levels: list = field(default_factory=list)
    planes: list = field(default_factory=list)
    images: dict = field(default_factory=dict)


def scene(width, height, seed):
    """Tissue-coloured tiles on white glass, other ones for each seed."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), (243, 241, 244), np.uint8)
    for y in range(height // 4, height, 32):
        for x in range(width // 4, width, 32):
            pixels[y : y + 32, x : x + 32] = rng.integers((120, 40, 110), (200, 120, 190))
    return pixels


def reduced(pixels, step):
    """Every box of `step` x `step` px as its mean."""
    height, width = (side // step for side in pixels.shape[:2])
    boxes = pixels[: height * step, : width * step].reshape(height, step, width, step, 3)
    return boxes.mean((1, 3)).round().astype(np.uint8)


def label(width=160, height=144, seed=99):
    """Bars in strong colours that no tissue has, so that they are found wherever they are left."""
    pixels = np.full((height, width, 3), (250, 250, 40), np.uint8)
    rng = np.random.default_rng(seed)
    for x in range(0, width, 16):
        if rng.random() < 0.6:
            pixels[16:-16, x : x + 16] = (10, 20, 220)
    return pixels


def aperio(size, more="", line="", mpp=0.5):
    """An ImageDescription as Aperio writes it; `line` is its second line."""
    line = line or f"{size[0]}x{size[1]} [0,0 {size[0]}x{size[1]}] (64x64) JPEG/RGB Q=90"
    scale = f"|AppMag = 20|MPP = {mpp}" if mpp else ""
    return f"{HEAD}\r\n{line}{scale}{more}"


def write(path, pages, **options):
    """(pixels, options) of each page; a tile of 64 px unless it says otherwise."""
    with tifffile.TiffWriter(path, **options) as tiff:
        for pixels, chosen in pages:
            tile = {} if "rowsperstrip" in chosen else {"tile": (TILE, TILE)}
            color = {} if pixels.ndim == 2 else {"photometric": "rgb", "compression": "jpeg"}
            text = chosen.pop("description", None)
            tiff.write(
                pixels,
                metadata=None,
                description=None if text is None else text.encode(),
                **(color | {"compressionargs": {"level": 95}} if color else {}),
                **tile,
                **chosen,
            )


# Focal planes


def z_stack(path, order="size", offsets=("-1.5", "0", "1.5"), lower="all", more=""):
    """An Aperio z-stack of two sizes; `order` is "size" (all planes of a size together) or "plane".

    `lower` is "all" (every plane has its lower level), "first" or "none". An offset of None is not stated.
    """
    planes = []
    for number in range(len(offsets)):
        full = scene(WIDTH, HEIGHT, number)
        planes.append([full, reduced(full, 4)])
    pages = []
    for number, (offset, plane) in enumerate(zip(offsets, planes, strict=True)):
        text = more if offset is None else f"{more}|OffsetZ = {offset}"
        has_lower = lower == "all" or (lower == "first" and number == 0)
        if not has_lower:
            del plane[1]
        for level, pixels in enumerate(plane):
            size = pixels.shape[1::-1]
            pages.append((level, number, pixels, {"description": aperio(size, text)}))
    if order == "size":
        pages.sort(key=lambda page: page[:2])
    write(path, [page[2:] for page in pages])
    return Drawn(planes[0], planes)


def z_stack_by_plane(path):
    """The planes one after another, each with its lower level: OpenSlide does not open it."""
    return z_stack(path, order="plane")


def z_stack_without_lower_levels(path):
    """Full-size planes alone."""
    return z_stack(path, lower="none")


def z_stack_with_one_pyramid(path):
    """A pyramid that states no offset, and planes at full size that do, as olympus2svs writes them."""
    return z_stack(path, offsets=(None, "1", "2"), lower="first", more="|TotalDepth = 3")


def twice_the_same_size(path):
    """Two images of full size in an SVS that state no offset."""
    return z_stack(path, offsets=(None, None), lower="none")


def reduced_ones_of_full_size(path):
    """A generic TIFF with an image that is marked as reduced and is not smaller."""
    planes = [[scene(WIDTH, HEIGHT, seed)] for seed in (0, 1)]
    write(path, [(planes[0][0], {}), (planes[1][0], {"subfiletype": 1})])
    return Drawn(planes[0], planes)


def two_lower_levels_of_one_size(path):
    """One image of full size, and two of a quarter: the first of them is the level."""
    full = scene(WIDTH, HEIGHT, 0)
    low = reduced(full, 4)
    write(path, [(full, {}), (low, {"subfiletype": 1}), (255 - low, {"subfiletype": 1})])
    return Drawn([full, low])


# SubIFDs and OME-XML


_SCALE = 'PhysicalSizeX="0.25" PhysicalSizeY="0.25"'


def ome_xml(size, scale=_SCALE, sizes="", images="", tiff_data="", head=""):
    """OME-XML of an RGB slide; `images` are more Image elements."""
    sizes = sizes or 'SizeZ="1" SizeC="3" SizeT="1"'
    tiff_data = tiff_data or '<TiffData IFD="0" PlaneCount="1"/>'
    return (
        f'{head}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Experimenter ID="Experimenter:0" UserName="{PATIENT}"/>'
        '<Instrument ID="Instrument:0"><Objective ID="Objective:0" NominalMagnification="40"/></Instrument>'
        f'<Image ID="Image:0" Name="{PATIENT}.svs"><ObjectiveSettings ID="Objective:0"/>'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="{size[0]}" SizeY="{size[1]}" '
        f'{sizes} {scale}><Channel ID="Channel:0:0" SamplesPerPixel="3"/>'
        f"{tiff_data}</Pixels></Image>{images}</OME>"
    )


def ome_image(number, name, size, page, scale=""):
    """One more Image element, whose picture is a page of the main chain."""
    return (
        f'<Image ID="Image:{number}" Name="{name}"><Pixels ID="Pixels:{number}" DimensionOrder="XYCZT" '
        f'Type="uint8" SizeX="{size[0]}" SizeY="{size[1]}" SizeZ="1" SizeC="3" SizeT="1" {scale}>'
        f'<Channel ID="Channel:{number}:0" SamplesPerPixel="3"/><TiffData IFD="{page}" PlaneCount="1"/>'
        "</Pixels></Image>"
    )


def pyramid(seed=0):
    """Three levels in steps of two."""
    full = scene(WIDTH, HEIGHT, seed)
    return [full, reduced(full, 2), reduced(full, 4)]


def sub_ifd_pages(levels, description=None, **options):
    """The pages of a pyramid in SubIFDs."""
    first = {"subifds": len(levels) - 1, **options}
    if description is not None:
        first["description"] = description
    return [(levels[0], first), *((level, {"subfiletype": 1}) for level in levels[1:])]


def ome_tiff(path, big=False, **options):
    """A pyramid in SubIFDs as Bio-Formats, QuPath and raw2ometiff write it; `options` go to `ome_xml`."""
    levels = pyramid()
    write(path, sub_ifd_pages(levels, ome_xml((WIDTH, HEIGHT), **options)), bigtiff=big)
    return Drawn(levels)


def sub_ifds_without_ome(path):
    """A pyramid in SubIFDs whose scale is in the resolution tags."""
    levels = pyramid()
    write(path, sub_ifd_pages(levels, resolution=(20_000, 20_000), resolutionunit="CENTIMETER"))
    return Drawn(levels)


def ome_with_label_and_macro(path):
    """Label and macro as images of their own: the one in tiles, the other in strips; and another series."""
    levels, picture, macro = pyramid(), label(), label(480, 160, 7)
    other = scene(256, 128, 5)
    images = (
        ome_image(1, "label image", (160, 144), 1)
        + ome_image(2, "macro image", (480, 160), 2)
        + ome_image(3, PATIENT, (256, 128), 3)
    )
    text = ome_xml((WIDTH, HEIGHT), images=images)
    write(
        path,
        [
            *sub_ifd_pages(levels, text),
            (picture, {}),
            (macro, {"rowsperstrip": 16}),
            (other, {}),
        ],
    )
    return Drawn(levels, images={"label": picture, "macro": macro})


def ome_with_label_first(path):
    """The label is the first image of the file, the slide the second."""
    levels, picture = pyramid(), label()
    text = ome_xml((160, 144), scale="", images=ome_image(1, PATIENT, (WIDTH, HEIGHT), 1, _SCALE))
    text = text.replace(f'Name="{PATIENT}.svs"', 'Name="label image"')
    write(path, [(picture, {"description": text}), *sub_ifd_pages(levels)])
    return Drawn(levels, images={"label": picture})


def ome_z_stack(path):
    """Three focal planes, each with a pyramid in SubIFDs of its own."""
    planes = [pyramid(seed) for seed in range(3)]
    text = ome_xml(
        (WIDTH, HEIGHT), sizes='SizeZ="3" SizeC="3" SizeT="1"', tiff_data='<TiffData IFD="0" PlaneCount="3"/>'
    )
    pages = [page for plane in planes for page in sub_ifd_pages(plane)]
    pages[0][1]["description"] = text
    write(path, pages)
    return Drawn(planes[0], planes)


def ome_of_channels(path):
    """Two images in RGB of which OME-XML says that they are channels of one picture."""
    text = ome_xml(
        (WIDTH, HEIGHT), sizes='SizeZ="1" SizeC="6" SizeT="1"', tiff_data='<TiffData IFD="0" PlaneCount="2"/>'
    )
    planes = [scene(WIDTH, HEIGHT, seed) for seed in (0, 1)]
    write(path, [(planes[0], {"description": text}), (planes[1], {})])
    return Drawn()


def ome_of_times(path):
    """Two times of one picture."""
    text = ome_xml(
        (WIDTH, HEIGHT), sizes='SizeZ="1" SizeC="3" SizeT="2"', tiff_data='<TiffData IFD="0" PlaneCount="2"/>'
    )
    planes = [scene(WIDTH, HEIGHT, seed) for seed in (0, 1)]
    write(path, [(planes[0], {"description": text}), (planes[1], {})])
    return Drawn()


# Labels, macros and what else lies in a file


def svs_pages(line=""):
    """The two levels of an SVS."""
    full = scene(WIDTH, HEIGHT, 0)
    low = reduced(full, 4)
    return [full, low], [(pixels, {"description": aperio(pixels.shape[1::-1])}) for pixels in (full, low)]


def beside(path, name, tiled, word, kind, place=-1, size=(160, 144), svs=True):
    """A slide with one image beside its levels, which says by word, by type or not at all what it is.

    `place` is where it stands among the pages; -1 is behind them.
    """
    levels, pages = svs_pages()
    if not svs:
        pages = [(levels[0], {}), (levels[1], {"subfiletype": 1})]
    picture = label(*size)
    head = HEAD if svs else ""
    options = {"subfiletype": kind, "description": f"{head}\n{word} {size[0]}x{size[1]}" if word else head}
    if not tiled:
        options["rowsperstrip"] = 16
    pages.insert(len(pages) if place == -1 else place, (picture, options))
    write(path, pages)
    return Drawn(levels, images={name: picture})


def tiled_label_by_word(path):
    """A tiled label in an SVS, known by its second line."""
    return beside(path, "label", True, "label", 0)


def tiled_label_by_type(path):
    """A tiled label in an SVS, known by NewSubfileType 1."""
    return beside(path, "label", True, "", 1)


def tiled_macro_by_type(path):
    """A tiled macro in an SVS, known by NewSubfileType 9."""
    return beside(path, "macro", True, "", 9, size=(480, 160))


def tiled_macro_in_generic(path):
    """A tiled macro in a generic TIFF, known by NewSubfileType 9."""
    return beside(path, "macro", True, "", 9, size=(480, 160), svs=False)


def tiled_label_in_generic(path):
    """A tiled label in a generic TIFF that is marked as reduced, known by its word."""
    return beside(path, "label", True, "Label", 1, svs=False)


def label_second_by_word(path):
    """A label in strips that stands second, where OpenSlide's thumbnail stands."""
    return beside(path, "label", False, "label", 0, place=1)


def label_second_by_type(path):
    """A label in strips that stands second and says so by its type alone."""
    return beside(path, "label", False, "", 1, place=1)


def label_second_unnamed(path):
    """A label in strips that stands second and says nothing: it has not the slide's proportions."""
    return beside(path, "thumbnail", False, "", 0, place=1)


def macro_by_word_label_by_type(path):
    """An image that calls itself macro and has the label's type."""
    return beside(path, "macro", False, "macro", 1)


def all_sorts(path):
    """What is neither level nor associated image: a second label, grey, other proportions, a SubIFD."""
    levels, pages = svs_pages()
    picture = label()
    strips = {"rowsperstrip": 16, "description": f"{HEAD}\nlabel 160x144"}
    grey = scene(96, 64, 0)[..., 0].copy()
    pages += [
        (picture, dict(strips)),
        (label(seed=98), dict(strips)),
        (grey, {}),
        (scene(64, 320, 3), {"description": HEAD}),
        (scene(48, 32, 1), {"rowsperstrip": 16, "description": HEAD, "subifds": 1}),
        (scene(24, 16, 1), {"rowsperstrip": 16}),
    ]
    write(path, pages)
    return Drawn(levels, images={"label": picture})
