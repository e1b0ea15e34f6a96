"""What one program makes of slides, for `tests/programs.py`: read_with.py PROGRAM.

Runs under the interpreter in which the program is installed, and needs nothing of wsicomp. Stdin has a JSON
list of [path, regions]; a region is width and height of a level and x, y, width and height in it. Stdout gets
a line of JSON for each: version, levels, um per px, associated images, each region's RGB bytes or an error.
"""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import numpy as np


def rgb(pixels, width, height):
    """The first three samples of a region as bytes, on white where it is transparent."""
    pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if pixels.shape[:2] != (height, width):
        raise ValueError(f"{pixels.shape} for {width} x {height} px")
    return pixels[..., :3].astype(np.uint8)


class OpenSlide:
    """OpenSlide by openslide-python; without openslide-bin, the system's library."""

    own_library = True

    def __init__(self, path):
        if not self.own_library:
            sys.modules["openslide_bin"] = None
        import openslide

        self._open = lambda: openslide.OpenSlide(path)
        self.slide = self._open()
        self.version = openslide.__library_version__
        self.levels = self.slide.level_dimensions
        self.images = sorted(self.slide.associated_images)
        scale = [self.slide.properties.get(f"openslide.mpp-{axis}") for axis in "xy"]
        self.mpp = [float(value) for value in scale] if all(scale) else None
        if self.mpp is None and self.slide.properties.get("tiff.ResolutionUnit") == "centimeter":
            # OpenSlide 3.4 hands a generic TIFF's tags out as they are.
            self.mpp = [1e4 / float(self.slide.properties[f"tiff.{axis}Resolution"]) for axis in "XY"]

    def read(self, level, x, y, width, height):
        downsample = round(self.slide.level_downsamples[level], 2)
        location = (round(x * downsample), round(y * downsample))
        try:
            return on_white(self.slide.read_region(location, level, (width, height)))
        except Exception:
            self.slide = self._open()  # after an error OpenSlide refuses every region
            raise


class SystemOpenSlide(OpenSlide):
    """OpenSlide as the system's packages have it."""

    own_library = False


def on_white(picture):
    """A picture without transparency, as viewers show it."""
    from PIL import Image

    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    white.alpha_composite(picture.convert("RGBA"))
    return np.asarray(white)


class TiffSlide:
    """tiffslide, which reads by tifffile and zarr."""

    def __init__(self, path):
        import tiffslide

        self.slide = tiffslide.TiffSlide(path)
        self.version = tiffslide.__version__
        self.levels = self.slide.level_dimensions
        self.images = sorted(self.slide.associated_images)
        scale = [self.slide.properties.get(f"tiffslide.mpp-{axis}") for axis in "xy"]
        self.mpp = [float(value) for value in scale] if all(scale) else None

    def read(self, level, x, y, width, height):
        downsample = round(self.slide.level_downsamples[level], 2)
        location = (round(x * downsample), round(y * downsample))
        return self.slide.read_region(location, level, (width, height), as_array=True)


class TiffFile:
    """tifffile: the levels of its first series."""

    def __init__(self, path):
        import tifffile

        self.version = tifffile.__version__
        self.tiff = tifffile.TiffFile(path)
        series = self.tiff.series
        self.shown = [level.keyframe for level in series[0].levels]
        self.levels = [(page.imagewidth, page.imagelength) for page in self.shown]
        self.images = [f"{each.name or 'unnamed'} {each.shape}" for each in series[1:]]
        self.mpp = None
        self._kept = {}

    def read(self, level, x, y, width, height):
        if level not in self._kept:
            self._kept[level] = self.shown[level].asarray()
        return self._kept[level][y : y + height, x : x + width]


class LibVips:
    """libvips: the pages of a TIFF by libtiff."""

    def __init__(self, path):
        import pyvips

        self.pyvips, self.path = pyvips, path
        self.version = ".".join(str(pyvips.version(part)) for part in range(3))
        pages = pyvips.Image.tiffload(path).get("n-pages")
        self.pages = [pyvips.Image.tiffload(path, page=page) for page in range(pages)]
        self.levels = [(page.width, page.height) for page in self.pages]
        self.images, self.all_pages = [], True
        self.mpp = [1000 / self.pages[0].xres, 1000 / self.pages[0].yres]

    def read(self, level, x, y, width, height):
        return self.pages[level].crop(x, y, width, height).numpy()


class LibTiff:
    """libtiff's own tools: tiffinfo lists the images of the chain, tiffcp and tiff2rgba decode them."""

    def __init__(self, path):
        text = subprocess.run(
            ["tiffinfo", path], capture_output=True, text=True, errors="replace", check=False
        ).stdout
        version = subprocess.run(["tiffcp", "-h"], capture_output=True, text=True, check=False)
        self.version = (version.stdout + version.stderr).partition("\n")[0].split()[-1]
        chain = text.split("=== TIFF directory ")[1:]  # not the SubIFDs, which it lists within
        lines = [re.search(r"Image Width: (\d+) Image Length: (\d+)", part).groups() for part in chain]
        self.path, self.folder, self._kept = path, tempfile.TemporaryDirectory(), {}
        self.levels = [(int(width), int(height)) for width, height in lines]
        self.images, self.mpp, self.all_pages = [], None, True

    def read(self, level, x, y, width, height):
        if level not in self._kept:
            from PIL import Image

            Image.MAX_IMAGE_PIXELS = None
            plain, shown = Path(self.folder.name, "plain.tif"), Path(self.folder.name, "rgba.tif")
            run_quiet("tiffcp", "-c", "none", "-s", f"{self.path},{level}", plain)
            run_quiet("tiff2rgba", "-c", "none", plain, shown)
            with Image.open(shown) as picture:
                self._kept[level] = np.asarray(picture)
        return self._kept[level][y : y + height, x : x + width]


def run_quiet(*command):
    """Run a command; its own words are the error where it fails."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise ValueError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "it fails")


class BioFormats:
    """Bio-Formats: the resolutions of its first series, by JPype."""

    def __init__(self, path):
        import jpype

        if not jpype.isJVMStarted():
            jpype.startJVM(classpath=[os.environ["BIOFORMATS_JAR"]])
        loci = jpype.JPackage("loci")
        loci.common.DebugTools.setRootLevel("OFF")
        self.version = str(loci.formats.FormatTools.VERSION)
        metadata = loci.formats.MetadataTools.createOMEXMLMetadata()
        self.reader = loci.formats.ImageReader()
        self.reader.setFlattenedResolutions(False)
        self.reader.setMetadataStore(metadata)
        self.reader.setId(path)
        self.levels, self.images = [], []
        for series in range(self.reader.getSeriesCount()):
            self.reader.setSeries(series)
            sizes = []
            for resolution in range(self.reader.getResolutionCount()):
                self.reader.setResolution(resolution)
                sizes.append((int(self.reader.getSizeX()), int(self.reader.getSizeY())))
            if series == 0:
                self.levels = sizes
            else:
                self.images += [
                    f"{metadata.getImageName(series)} {width} x {height}" for width, height in sizes
                ]
        self.reader.setSeries(0)
        lengths = [metadata.getPixelsPhysicalSizeX(0), metadata.getPixelsPhysicalSizeY(0)]
        micrometre = jpype.JPackage("ome").units.UNITS.MICROMETER
        self.mpp = [float(length.value(micrometre)) for length in lengths] if all(lengths) else None

    def read(self, level, x, y, width, height):
        self.reader.setResolution(level)
        data = bytes(self.reader.openBytes(0, x, y, width, height))
        planes = np.frombuffer(data, np.uint8)
        if self.reader.isInterleaved():
            return planes.reshape(height, width, -1)
        return planes.reshape(-1, height, width).transpose(1, 2, 0)


class LargeImage:
    """large_image's TIFF source."""

    def __init__(self, path):
        import large_image
        import large_image_source_tiff

        self.version = large_image.__version__
        self.source = large_image_source_tiff.open(path)
        data = self.source.getMetadata()
        sizes = [
            (-(-data["sizeX"] // 2**step), -(-data["sizeY"] // 2**step)) for step in range(data["levels"])
        ]
        internal = getattr(self.source, "_tiffDirectories", [])
        stored = [(each.imageWidth, each.imageHeight) for each in internal if each is not None]
        self.levels, self.made = sorted(stored, reverse=True), sizes
        self.images = sorted(self.source.getAssociatedImagesList())
        scale = self.source.getNativeMagnification()
        values = [scale.get("mm_x"), scale.get("mm_y")]
        self.mpp = [value * 1000 for value in values] if all(values) else None

    def read(self, level, x, y, width, height):
        from large_image.constants import TILE_FORMAT_NUMPY

        full, part = self.levels[0][0], self.levels[level][0]
        step = full / part
        region = {"left": x * step, "top": y * step, "width": width * step, "height": height * step}
        data, _ = self.source.getRegion(
            region=region | {"units": "base_pixels"},
            output={"maxWidth": width, "maxHeight": height},
            format=TILE_FORMAT_NUMPY,
        )
        return data


class CuCim:
    """cuCIM on the CPU."""

    def __init__(self, path):
        import cucim

        self.version = cucim.__version__
        self.slide = cucim.CuImage(path)
        shown = self.slide.resolutions
        self.levels = shown["level_dimensions"]
        self.downsamples = shown["level_downsamples"]
        self.images = sorted(self.slide.associated_images)
        self.mpp = (
            list(self.slide.spacing("XY")) if self.slide.spacing_units("XY")[0] == "micrometer" else None
        )
        if self.mpp is None:
            self.mpp = None

    def read(self, level, x, y, width, height):
        step = round(self.downsamples[level], 2)
        location = (round(x * step), round(y * step))
        return np.asarray(self.slide.read_region(location, (width, height), level))


class Gdal:
    """GDAL by rasterio: the image and its overviews."""

    def __init__(self, path):
        import logging
        import warnings

        import rasterio

        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        self.rasterio, self.path = rasterio, path
        self.version = rasterio.__gdal_version__
        self.sets = [rasterio.open(path)]
        for number in range(len(self.sets[0].overviews(1))):
            self.sets.append(rasterio.open(path, overview_level=number))
        self.levels = [(each.width, each.height) for each in self.sets]
        self.images = list(self.sets[0].subdatasets)
        self.mpp = None
        tags = self.sets[0].tags()
        if "TIFFTAG_XRESOLUTION" in tags and tags.get("TIFFTAG_RESOLUTIONUNIT", "").startswith("3"):
            self.mpp = [1e4 / float(tags[f"TIFFTAG_{axis}RESOLUTION"]) for axis in "XY"]

    def read(self, level, x, y, width, height):
        window = self.rasterio.windows.Window(x, y, width, height)
        return self.sets[level].read(window=window).transpose(1, 2, 0)


class SlideIo:
    """slideio: its SVS driver, or GDAL's for what is none."""

    def __init__(self, path):
        from importlib.metadata import version

        import slideio

        self.version = version("slideio")
        drivers = ("SVS", "GDAL") if path.endswith(".svs") else ("AUTO", "OMETIFF", "GDAL")
        error = None
        for driver in drivers:
            try:
                self.slide = slideio.open_slide(path, driver)
                break
            except RuntimeError as exc:
                error = exc
        else:
            raise error
        self.driver = driver
        self.scene = self.slide.get_scene(0)
        self.levels = []
        for number in range(max(1, self.scene.num_zoom_levels)):
            size = self.scene.get_zoom_level_info(number).size
            self.levels.append((size.width, size.height))
        self.images = [self.slide.get_scene(number).name for number in range(1, self.slide.num_scenes)]
        self.images += list(self.slide.get_aux_image_names())
        scale = self.scene.resolution
        self.mpp = [value * 1e6 for value in scale] if all(scale) else None

    def read(self, level, x, y, width, height):
        step = self.levels[0][0] / self.levels[level][0]
        rect = (round(x * step), round(y * step), round(width * step), round(height * step))
        return self.scene.read_block(rect, size=(width, height))


class TiaToolbox:
    """tiatoolbox's WSIReader."""

    def __init__(self, path):
        # Reading needs no torch, which it imports to look for a GPU.
        sys.modules["torch"] = types.ModuleType("torch")
        import tiatoolbox
        from tiatoolbox.wsicore.wsireader import WSIReader

        self.version = tiatoolbox.__version__
        self.reader = WSIReader.open(path)
        info = self.reader.info
        self.kind = type(self.reader).__name__
        self.levels = [tuple(int(side) for side in size) for size in info.level_dimensions]
        self.images, self.downsamples = [], info.level_downsamples
        self.mpp = None if info.mpp is None else [float(value) for value in info.mpp]

    def read(self, level, x, y, width, height):
        step = round(float(self.downsamples[level]), 2)
        location = (round(x * step), round(y * step))
        return self.reader.read_rect(location, (width, height), level, "level")


class Fast:
    """FAST, the engine of FastPathology."""

    def __init__(self, path):
        import fast

        self.fast = fast
        fast.Reporter.setGlobalReportMethod(fast.Reporter.NONE)
        self.version = fast.__version__ if hasattr(fast, "__version__") else "4.18"
        importer = fast.WholeSlideImageImporter.create(path)
        self.pyramid = importer.runAndGetOutputData()
        self.access = self.pyramid.getAccess(fast.ACCESS_READ)
        count = self.pyramid.getNrOfLevels()
        self.levels = [
            (self.pyramid.getLevelWidth(number), self.pyramid.getLevelHeight(number))
            for number in range(count)
        ]
        self.images = []
        spacing = np.asarray(self.pyramid.getSpacing()).reshape(-1)[:2]
        self.mpp = [float(value) * 1000 for value in spacing]

    def read(self, level, x, y, width, height):
        patch = self.access.getPatchAsImage(level, x, y, width, height, True)
        return np.asarray(patch)


class FastSlide:
    """fastslide, which decodes a region's tiles side by side."""

    def __init__(self, path):
        import fastslide

        self.version = fastslide.__version__
        self.slide = fastslide.FastSlide.from_file_path(path)
        self.levels = self.slide.level_dimensions
        self.images = sorted(self.slide.associated_images.keys())
        self.mpp = list(self.slide.mpp) if all(self.slide.mpp) else None

    def read(self, level, x, y, width, height):
        region = self.slide.read_region((x, y), level, (width, height))
        return region.to_interleaved().numpy()


PROGRAMS = {
    "openslide": OpenSlide,
    "openslide-system": SystemOpenSlide,
    "tiffslide": TiffSlide,
    "tifffile": TiffFile,
    "libvips": LibVips,
    "libtiff": LibTiff,
    "bioformats": BioFormats,
    "large_image": LargeImage,
    "cucim": CuCim,
    "gdal": Gdal,
    "slideio": SlideIo,
    "tiatoolbox": TiaToolbox,
    "fast": Fast,
    "fastslide": FastSlide,
}


def word(exc):
    """An error in a line."""
    text = " ".join(str(exc).split())
    return (text or type(exc).__name__)[:200]


def look(program, path, regions):
    """All that there is to say of a file."""
    try:
        shown = PROGRAMS[program](path)
    except ImportError as exc:
        return {"missing": word(exc)}
    except Exception as exc:
        return {"error": word(exc)}
    found = []
    for level_width, level_height, x, y, width, height in regions:
        size = (level_width, level_height)
        if size not in [tuple(level) for level in shown.levels]:
            found.append({"absent": True})
            continue
        level = [tuple(level) for level in shown.levels].index(size)
        try:
            pixels = rgb(shown.read(level, x, y, width, height), width, height)
            found.append({"pixels": base64.b64encode(pixels.tobytes()).decode()})
        except Exception as exc:
            found.append({"error": word(exc)})
    return {
        "version": shown.version,
        "levels": [list(map(int, level)) for level in shown.levels],
        "mpp": shown.mpp,
        "images": list(shown.images),
        "lists_pages": getattr(shown, "all_pages", False),
        "as": getattr(shown, "driver", getattr(shown, "kind", "")),
        "regions": found,
    }


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)  # what libraries print is not ours
        for path, regions in asked:
            out.write(json.dumps(look(sys.argv[1], path, regions)) + "\n")
            out.flush()
    os._exit(0)  # some hang or crash when they are torn down
