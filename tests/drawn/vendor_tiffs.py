"""Small slides with the structure of Philips TIFF, Leica SCN, Ventana BIF and Ventana's TIFF.

Their tiles are those of an SVS. They follow public descriptions.

Source: OpenSlide's drivers, and its pages on these formats.
"""

from __future__ import annotations

import random

from tests.drawn.dicom_slide import stored_levels
from tests.layouts import Image, lay_out

_SCN = "http://www.leica-microsystems.com/scn/2010/10/01"
NM_A_PIXEL = 500


def _text(value):
    return ("s", [*value.encode(), 0])


def _write(path, images, big=False):
    path.write_bytes(lay_out(images, random.Random(path.name), big=big))
    return path


def _levels(svs, photometric=6):
    """The images of an SVS's levels."""
    for (width, height), side, tables, tiles in stored_levels(svs):
        tags = {347: ("B", tables)} if tables else {}
        tags |= {530: ("H", [2, 1])} if photometric == 6 else {}
        yield Image(width, height, [*tiles], (side, side), photometric=photometric, tags=tags)


def philips(path, svs, left_out=(), photometric=6):
    """A Philips TIFF: lower levels padded to whole tiles; tiles of these raster numbers are not there."""
    images = list(_levels(svs, photometric))
    widest = images[0].width
    spacings = []
    for number, image in enumerate(images):
        spacings.append(round(widest / image.width) * NM_A_PIXEL / 1e6)
        image.pieces = [b"" if place in left_out else piece for place, piece in enumerate(image.pieces)]
        if number:
            image.subfile = 1
            image.width, image.height = (
                -(-side // image.tile[0]) * image.tile[0] for side in (image.width, image.height)
            )
    images[0].tags[305] = _text("Philips DP v1.0")
    images[0].description = _philips_xml(spacings).encode()
    return _write(path, images)


def _philips_xml(spacings):
    levels = "".join(
        f'<DataObject ObjectType="PixelDataRepresentation">'
        f'<Attribute Name="DICOM_PIXEL_SPACING" Group="0x0028">"{one}" "{one}"</Attribute>'
        f'<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_NUMBER">{number}</Attribute></DataObject>'
        for number, one in enumerate(spacings)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        '<Attribute Name="PIM_DP_SCANNED_IMAGES"><Array><DataObject ObjectType="DPScannedImage">'
        '<Attribute Name="PIM_DP_IMAGE_TYPE">WSI</Attribute>'
        f'<Attribute Name="DICOM_PIXEL_SPACING">"{spacings[0]}" "{spacings[0]}"</Attribute>'
        f'<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"><Array>{levels}</Array></Attribute>'
        "</DataObject></Array></Attribute></DataObject>"
    )


def huron(path, svs):
    """A Huron TIFF."""
    levels = list(_levels(svs))
    levels[0].tags[271] = _text("Huron")
    levels[0].description = b"Resolution = 0.5 um"
    return _write(path, levels)


def argos(path, svs, planes=1):
    """An Argos slide with this many focal planes of all levels."""
    levels = [level for _ in range(planes) for level in _levels(svs)]
    xml = f"<Argos.Scan.Metadata><MinZ>0</MinZ><MaxZ>{planes - 1}</MaxZ></Argos.Scan.Metadata>"
    levels[0].tags[65000] = _text(xml)
    return _write(path, levels)


def leica(path, svs, *places, behind=0):
    """An SCN with the levels of the SVS as a scanned area at each of these (x, y), in pixels of level 0.

    The slide reaches `behind` pixels beyond the last of them.
    """
    images, areas = [], []
    for x, y in places:
        levels = list(_levels(svs))
        first, largest = len(images), levels[0]
        images += levels
        dimensions = "".join(
            f'<dimension sizeX="{one.width}" sizeY="{one.height}" r="{number}" ifd="{first + number}"/>'
            for number, one in enumerate(levels)
        )
        nm = [side * NM_A_PIXEL for side in (largest.width, largest.height, x, y)]
        areas.append(
            f'<image name="image"><creationDate>2012-01-01</creationDate><device model="drawn" version="1"/>'
            f'<pixels sizeX="{largest.width}" sizeY="{largest.height}">{dimensions}</pixels>'
            f'<view sizeX="{nm[0]}" sizeY="{nm[1]}" offsetX="{nm[2]}" offsetY="{nm[3]}"/>'
            "<scanSettings><objectiveSettings><objective>20</objective></objectiveSettings>"
            "<illuminationSettings><numericalAperture>0.4</numericalAperture>"
            "<illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings></image>"
        )
    wide = (max(x for x, _ in places) + images[0].width + behind) * NM_A_PIXEL
    high = (max(y for _, y in places) + images[0].height + behind) * NM_A_PIXEL
    # The macro is as large as the slide.
    macro = next(_levels(svs))
    areas.append(
        f'<image name="macro"><pixels sizeX="{macro.width}" sizeY="{macro.height}">'
        f'<dimension sizeX="{macro.width}" sizeY="{macro.height}" r="0" ifd="{len(images)}"/></pixels>'
        f'<view sizeX="{wide}" sizeY="{high}" offsetX="0" offsetY="0"/><scanSettings><illuminationSettings>'
        "<illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings></image>"
    )
    images.append(macro)
    collection = f'<collection name="slide" sizeX="{wide}" sizeY="{high}">{"".join(areas)}</collection>'
    images[0].description = f'<?xml version="1.0"?><scn xmlns="{_SCN}">{collection}</scn>'.encode()
    return _write(path, images, big=True)


def ventana(path, svs, areas=None, overlap=0):
    """Ventana's TIFF, or with `areas` a BIF: (column, row, columns, rows) of each in tiles of level 0.

    `overlap` is stated of all tiles.
    """
    levels = list(_levels(svs))
    for number, image in enumerate(levels):
        magnification = 20 / round(levels[0].width / image.width)
        image.subfile = int(number > 0)
        image.description = f"level={number} mag={magnification:g} quant=95".encode()
    if areas is not None:
        levels[0].tags[700] = ("B", _encode_info(levels[0], areas, overlap).encode())
    label = next(_levels(svs))
    label.description = b"Label Image"
    label.tags[700] = ("B", b'<iScan Magnification="20" ScanRes="0.5" UnitNumber="1"/>')
    return _write(path, [label, *levels], big=areas is not None)


def _encode_info(level, areas, overlap):
    side = level.tile[0]
    bottom = max(row + rows for _, row, _, rows in areas)
    infos, origins = "", ""
    for number, (column, row, columns, rows) in enumerate(areas):
        joint = f'FlagJoined="1" Confidence="100" OverlapX="{overlap}" OverlapY="{overlap}"'
        # Tiles are counted from the lower left, one row to the right and the next to the left.
        infos += (
            f'<ImageInfo AOIScanned="1" AOIIndex="{number}" Width="{side}" Height="{side}" '
            f'NumCols="{columns}" NumRows="{rows}" Pos-X="{column * side}" '
            f'Pos-Y="{(bottom - row - rows) * side}">'
            f'<TileJointInfo {joint} Direction="RIGHT" Tile1="1" Tile2="2"/>'
            f'<TileJointInfo {joint} Direction="UP" Tile1="{columns}" Tile2="{columns + 1}"/></ImageInfo>'
        )
        origins += f'<AOI{number} OriginX="{column * side}" OriginY="{row * side}"/>'
    stitched = f"<SlideStitchInfo>{infos}</SlideStitchInfo><AoiOrigin>{origins}</AoiOrigin>"
    return f"<EncodeInfo>{stitched}</EncodeInfo>"
