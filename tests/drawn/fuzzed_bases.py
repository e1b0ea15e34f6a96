"""The sound files of which `fuzzed` makes mutants, small ones of each kind that a command reads."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import tifffile

from tests import tiffs
from tests.drawn import levels, sound
from tests.paths import ROOT
from wsicomp import ConversionConfig, convert_slide

SIZE = 200, 150


def _slide(folder, name, svs=True, size=SIZE, **options):
    """A slide of two levels with a thumbnail and a label, whose tiles tifffile encodes."""
    path = folder / name
    pixels = tiffs.picture(*size)
    text = tiffs.DESCRIPTION.format(*size)
    file = {name: options.pop(name) for name in ("bigtiff", "byteorder") if name in options}
    with tifffile.TiffWriter(path, **file) as tiff:
        common = {"photometric": "rgb", "metadata": None}
        tiled = {"tile": (64, 64), "compression": "jpeg", **common, **options}
        tiff.write(pixels, description=text if svs else None, **tiled)
        small = np.ascontiguousarray(pixels[:60, :80])
        tiff.write(
            small, compression="jpeg", rowsperstrip=16, description="Aperio x\nthumbnail 80x60", **common
        )
        tiff.write(cv2.resize(pixels, None, fx=0.5, fy=0.5), subfiletype=0 if svs else 1, **tiled)
        label = "Aperio x\nlabel 80x60"
        tiff.write(small, compression="lzw", predictor=True, subfiletype=1, description=label, **common)
    return path


def jpeg_svs(folder):
    return _slide(folder, "jpeg.svs")


def big_endian_tiff(folder):
    return _slide(folder, "big-endian.tif", svs=False, byteorder=">")


def jpeg2000_svs(folder):
    return _slide(folder, "jpeg2000.svs", bigtiff=True, compression="aperio_jp2000_ycbc")


def lzw_big_tiff(folder):
    return _slide(folder, "lzw.tif", svs=False, bigtiff=True, compression="lzw", predictor=True)


def jpegxl_tiff(folder):
    return _slide(folder, "jpegxl.tif", svs=False, compression="jpegxl")


def planes_tiff(folder):
    sound.planes(folder / "planes.tif")
    return folder / "planes.tif"


def ome_tiff(folder):
    levels.ome_tiff(folder / "slide.ome.tif")
    return folder / "slide.ome.tif"


def picture(folder):
    cv2.imwrite(str(folder / "picture.png"), tiffs.picture(60, 40))
    return folder / "picture.png"


def _converted(folder, name, **config):
    source = _slide(folder, f"source-of-{name}.svs")
    target = folder / name
    convert_slide(source, target, ConversionConfig.of(workers=1, overwrite=True, **config))
    source.unlink()
    return target


def copied(folder):
    return _converted(folder, "copied.svs", codec="copy", segmenter="threshold", margin_um=0)


def encoded(folder):
    return _converted(folder, "encoded.svs", codec="jpeg", segmenter="threshold", margin_um=0)


def emptied(folder):
    return _converted(folder, "emptied.tiff", codec="jpeg", glass="empty", segmenter="threshold", margin_um=0)


def lossy(folder):
    return _converted(folder, "lossy.tiff", codec="jpegxl", effort=1, overview="jpeg", glass="keep")


def guarded(folder):
    return _converted(folder, "guarded.svs", codec="jpeg2000", glass="keep")


def packed(folder):
    return _converted(
        folder, "packed.tiff", codec="jpegxl", lossless=True, effort=1, glass="keep", restorable=True
    )


def copied_restorable(folder):
    return _converted(folder, "restorable.tiff", codec="copy", glass="keep", restorable=True)


def _mask_pixels():
    pixels = np.zeros((75, 100), np.uint8)
    pixels[20:50, 30:70] = 255
    return pixels


def png_mask(folder):
    cv2.imwrite(str(folder / "mask.png"), _mask_pixels())
    return folder / "mask.png"


def tiff_mask(folder):
    tifffile.imwrite(folder / "mask.tif", _mask_pixels(), tile=(64, 64), compression="deflate")
    return folder / "mask.tif"


def outlines(folder):
    ring = [[20, 20], [120, 20], [120, 100], [20, 100], [20, 20]]
    hole = [[40, 40], [60, 40], [60, 60], [40, 40]]
    shapes = [
        {"type": "Polygon", "coordinates": [ring, hole]},
        {"type": "MultiPolygon", "coordinates": [[ring], [hole]]},
    ]
    features = [{"type": "Feature", "geometry": shape, "properties": {}} for shape in shapes]
    path = folder / "mask.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def shipped_preset(folder):
    return _copied(folder, ROOT / "configs/presets/archive-jpegxl.toml", "shipped.toml")


def preset(folder):
    path = folder / "own.toml"
    path.write_text(
        'codec = "jpeg2000"\npsnr = 38.5\nglass = "blank"\nmargin_um = 60.0\nbackground = "#f0f0f0"\n'
        'magnification = 2.5\nhole_um = 90.0\nlevels = "source"\nstrict = true\nmin_saving = 3.0\n'
    )
    return path


def table(folder):
    _mask_and_picture(folder)
    path = folder / "table.csv"
    path.write_text(
        "name,image,mask,um_per_px,split,source_group,licence,difficulty,weights_may_train_on\n"
        "one,labelled.png,labelled-mask.png,1.0,train,g1,CC0,easy,yes\n"
        "two,labelled.png,all-glass,2.0,test,g2,,,no\n"
    )
    return path


def _mask_and_picture(folder):
    cv2.imwrite(str(folder / "labelled.png"), tiffs.picture(600, 500))
    mask = np.zeros((500, 600), np.uint8)
    mask[150:350, 200:400] = 255
    cv2.imwrite(str(folder / "labelled-mask.png"), mask)


def settings(folder):
    return _copied(folder, ROOT / "configs/training/tissue-unet.toml", "settings.toml")


def manifest(folder):
    models = ROOT / "models"
    _copied(folder, models / "tissue-unet.tflite", "tissue-unet.tflite")
    return _copied(folder, models / "tissue-unet.json", "manifest.json")


def _copied(folder, path, name):
    shutil.copy(path, folder / name)
    return folder / name


SLIDES = (jpeg_svs, big_endian_tiff, jpeg2000_svs, lzw_big_tiff, jpegxl_tiff, planes_tiff, ome_tiff)
CONVERTED = (copied, encoded, emptied, lossy, guarded, packed, copied_restorable)
BASES = {
    "any": (*SLIDES, *CONVERTED, picture),
    "slide": SLIDES,
    "converted": CONVERTED,
    "restorable": (packed, copied_restorable),
    "mask": (png_mask, tiff_mask, outlines),
    "preset": (shipped_preset, preset),
    "table": (table,),
    "settings": (settings,),
    "weights": (manifest,),
}
"""For each kind of input the functions that draw a file of it into a folder and return its path."""
