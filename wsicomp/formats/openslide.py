"""Slides of any vendor through OpenSlide: pixels only, no encoded tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import openslide
from PIL import Image

from wsicomp.codecs import plain
from wsicomp.concurrency.forks import ForkLock
from wsicomp.errors import SlideReadError, TileReadError, UnsupportedSlideError
from wsicomp.files.limits import budget_bytes
from wsicomp.files.unfinished import temporary_folder
from wsicomp.formats.base import PixelsOnly
from wsicomp.formats.level_pixels import LevelReads
from wsicomp.formats.safe_openslide import open_openslide
from wsicomp.formats.slide_files import dicom_levels
from wsicomp.formats.stated_scale import openslide_scale, positive_number
from wsicomp.geometry import Region, Size
from wsicomp.slide import RGB, AssociatedImage, Level, Pixels, Rgba, SlideInfo, TileEncoding

_DEFAULT_TILE = Size(256, 256)
_LARGEST_TILE_PX = 1024
_PICTURE_BYTES = 12
"""The bytes of memory for a pixel of an associated image: with alpha, on white, and stored."""
_KEPT_CACHE_BYTES = 4 << 20
"""Decoded tiles that OpenSlide keeps of a `KeptOpenSlideFile`, whose reads lie together, or nowhere near."""
_UNKNOWN = ("label", "macro")
_LOSSLESS = TileEncoding(plain.DEFLATE, RGB, predictor=2)


class OpenSlideSlide(PixelsOnly):
    """A slide as OpenSlide shows it, transparent pixels laid on white.

    Levels show their stored pixels even where OpenSlide would interpolate: those of a DICOM slide by opening
    each level alone, others as far as `LevelReads` reaches.

    Args:
        remarks: Lines about the slide for its user.
        opaque: Refuse transparent pixels, because a sample that is not alpha may have been taken for it.
        may_be: What else each associated image could be; one that is not named may be a label or a macro.

    Raises:
        SlideReadError: OpenSlide cannot open the file.
    """

    def __init__(
        self,
        path: Path,
        remarks: tuple[str, ...] = (),
        opaque: bool = False,
        may_be: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._files = ExitStack()
        self._shown = self._files.enter_context(closing(OpenSlideFile(path, opaque)))
        self._lock = ForkLock()
        self._alone: dict[int, OpenSlideFile | None] = {}
        try:
            info, omitted = _describe(self._shown, self._level)
            self._reads = {
                number: LevelReads(level.size, level.downsample, partial(self._shown.read, number))
                for number, level in enumerate(info.levels)
                if level.encoding is None and not level.downsample.is_integer()
            }
            if may_be is not None:
                images = {
                    name: replace(image, may_be=may_be.get(name, _UNKNOWN))
                    for name, image in info.associated_images.items()
                }
                info = replace(info, associated_images=images)
            self._info = replace(info, omitted=(*omitted, *self._interpolated()), remarks=remarks)
        except BaseException:
            self._files.close()
            raise

    def read_region(self, level: int, region: Region) -> Pixels:
        """Return the pixels of a region in the level's own pixels, (rows, columns, 3) uint8 RGB.

        They are stored pixels where `is_exact`; elsewhere OpenSlide may interpolate them.

        Raises:
            TileReadError: OpenSlide cannot read the region.
            UnsupportedSlideError: the region has transparent pixels, and `opaque` forbids them.
        """
        alone = self._opened_alone(level)
        if alone is not None:
            return alone.read(0, (region.x, region.y), region.size)
        if level in self._reads:
            return self._reads[level].read(region)
        downsample = int(self._info.levels[level].downsample)
        return self._shown.read(level, (region.x * downsample, region.y * downsample), region.size)

    def is_exact(self, level: int) -> bool:
        """Return whether every pixel of a level is stored in the file, and not interpolated by OpenSlide."""
        if level not in self._reads or self._opened_alone(level) is not None:
            return True
        return self._reads[level].reach == self._shown.sizes[level]

    def is_by_openslide(self, level: int) -> bool:
        """Return whether a level's pixels are read at whole pixels, so that OpenSlide interpolates none."""
        return level not in self._reads

    def shown(self) -> OpenSlideFile:
        """Return the file as it is open in OpenSlide."""
        return self._shown

    def close(self) -> None:
        """Close the file."""
        self._files.close()

    def _level(self, number: int) -> Level:
        """Return what is known of a level."""
        slide = self._shown.slide
        size = Size(*slide.level_dimensions[number])
        stated = (
            slide.properties.get(f"openslide.level[{number}].tile-{side}", 0) for side in ("width", "height")
        )
        tile = Size(*map(int, stated))
        if not all(16 <= side <= _LARGEST_TILE_PX and side % 16 == 0 for side in tile.shape):
            tile = _DEFAULT_TILE
        return Level(size, tile, slide.level_downsamples[number])

    def _opened_alone(self, number: int) -> OpenSlideFile | None:
        """Return a DICOM level as a slide of its own, which shows every stored pixel.

        None where that fails.
        """
        if number not in self._reads or not self._shown.is_dicom:
            return None
        with self._lock:
            if number not in self._alone:
                self._alone[number] = self._open_alone(number)
            return self._alone[number]

    def _open_alone(self, number: int) -> OpenSlideFile | None:
        size = self._shown.sizes[number]
        try:
            parts = dicom_levels(self._shown.path).get((size.width, size.height), ())
            folder = self._files.enter_context(temporary_folder("wsicomp-level-"))
            links = [folder / f"{count}.dcm" for count, _ in enumerate(parts)]
            for link, part in zip(links, parts, strict=True):
                link.symlink_to(part.resolve())
            shown = self._files.enter_context(closing(OpenSlideFile(links[0]))) if links else None
        except (OSError, NotImplementedError):
            return None
        return shown if shown is not None and shown.sizes == (size,) else None

    def _interpolated(self) -> Iterator[str]:
        """Yield in words the levels of which not all stored pixels can be read."""
        for number, reads in self._reads.items():
            if not self.is_exact(number):
                yield (
                    f"the own pixels of level {number} beyond its first {reads.reach}, "
                    f"which OpenSlide interpolates"
                )


class OpenSlideFile:
    """A file open in OpenSlide, opened anew after an error, which OpenSlide else repeats for every region.

    Any thread may read from it.

    Memory: OpenSlide keeps `cache_bytes` of decoded tiles; by default its own 32 MB.

    Raises:
        SlideReadError: OpenSlide cannot open it.
    """

    def __init__(self, path: Path, opaque: bool = False, cache_bytes: int | None = None) -> None:
        self.path = path
        self._opaque, self._cache_bytes = opaque, cache_bytes
        self._lock, self._whole_lock = ForkLock(), ForkLock()
        self._whole: dict[int, Pixels | None] = {}
        self.slide = self._opened()
        self.sizes = tuple(Size(*size) for size in self.slide.level_dimensions)
        self.downsamples = self.slide.level_downsamples
        self.is_dicom = self.slide.properties[openslide.PROPERTY_NAME_VENDOR] == "dicom"

    def read(self, level: int, location: tuple[int, int], size: Size) -> Pixels:
        """Return a region on white, (rows, columns, 3) uint8 RGB, by one call of OpenSlide.

        `location` is (x, y) in pixels of level 0, `size` is in the level's own pixels.

        Raises:
            TileReadError: OpenSlide cannot read the region.
            UnsupportedSlideError: the region has transparent pixels, and `opaque` forbids them.
        """
        region = location, level, (size.width, size.height)
        slide = self.slide
        try:
            rgba = np.asarray(slide.read_region(*region))
        except openslide.OpenSlideError:
            self.renew(slide)
            rgba = self._read_alone(*region)  # the error may be that of another thread's region
        if self._opaque and (rgba[..., 3] < 255).any():
            message = "OpenSlide shows transparent pixels, expected opaque ones; save it as RGB"
            raise UnsupportedSlideError(message, self.path, f"level {level}")
        return on_white(rgba)

    def _read_alone(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> Rgba:
        """Return a region as `read_region` does, by a slide that no other thread reads from.

        Raises:
            TileReadError: OpenSlide cannot read the region.
        """
        with self._opened() as slide:
            try:
                return np.asarray(slide.read_region(location, level, size))
            except openslide.OpenSlideError as exc:
                raise TileReadError(f"OpenSlide cannot read it ({exc})", self.path, f"level {level}") from exc

    def whole(self, level: int) -> Pixels | None:
        """Return all pixels of a small level as `read` does, read once and then kept.

        Return None where OpenSlide cannot read them.
        """
        with self._whole_lock:
            if level not in self._whole:
                self._whole[level] = None
                with suppress(SlideReadError):
                    self._whole[level] = self.read(level, (0, 0), self.sizes[level])
            return self._whole[level]

    def picture(self, name: str) -> Image.Image:
        """Return the associated image of this name.

        Raises:
            SlideReadError: OpenSlide cannot read it.
        """
        slide = self.slide
        try:
            return slide.associated_images[name]
        except openslide.OpenSlideError as exc:
            self.renew(slide)
            raise SlideReadError(f"OpenSlide cannot read its {name} ({exc})", self.path) from exc

    def icc_profile(self) -> bytes | None:
        """Return the ICC profile byte for byte, None where there is none.

        OpenSlide's `color_profile` would write it anew.

        Raises:
            SlideReadError: OpenSlide cannot read it.
        """
        try:
            profile = self.slide.read_region((-2, -2), 0, (1, 1)).info.get("icc_profile")
        except openslide.OpenSlideError as exc:
            raise SlideReadError(f"OpenSlide cannot read its ICC profile ({exc})", self.path) from exc
        return profile if isinstance(profile, bytes) else None

    def close(self) -> None:
        """Close the file."""
        self.slide.close()

    def renew(self, broken: openslide.OpenSlide) -> None:
        """Open the file anew after an error of `broken`, unless another thread has done so.

        Raises:
            SlideReadError: OpenSlide does not open it any more.
        """
        with self._lock:
            if self.slide is broken:
                self.slide = self._opened()  # the other one ends with the last thread that reads from it

    def _opened(self) -> openslide.OpenSlide:
        try:
            slide = open_openslide(self.path)
        except openslide.OpenSlideError as exc:
            raise SlideReadError(f"OpenSlide cannot open it ({exc})", self.path) from exc
        if self._cache_bytes is not None:
            slide.set_cache(openslide.OpenSlideCache(self._cache_bytes))
        return slide


class KeptOpenSlideFile:
    """A file that is opened in OpenSlide when it is first asked for, and then kept open.

    Memory: decoded tiles of 4 MB.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = ForkLock()
        self._file: OpenSlideFile | None = None

    def get(self) -> OpenSlideFile:
        """Return the open file, the same at each call.

        Raises:
            SlideReadError: OpenSlide does not open it.
        """
        with self._lock:
            if self._file is None:
                self._file = OpenSlideFile(self._path, cache_bytes=_KEPT_CACHE_BYTES)
            return self._file

    def close(self) -> None:
        """Close the file if it was opened."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None


def on_white(rgba: Pixels) -> Pixels:
    """Return straight RGBA, (rows, columns, 4) uint8, laid on white, as (rows, columns, 3) uint8 RGB."""
    if (cv2.extractChannel(rgba, 3) == 255).all():
        return np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), np.uint8)
    # read_region gives straight alpha, so a transparent pixel's colour counts by its alpha.
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _describe(shown: OpenSlideFile, level: Callable[[int], Level]) -> tuple[SlideInfo, list[str]]:
    """Return the facts that OpenSlide states about a file, and the associated images that cannot be read.

    `level` returns what is known of a level, by its number.
    """
    images, omitted = _associated_images(shown)
    slide = shown.slide  # another one than before where an image could not be read
    properties = dict(slide.properties)
    mpp, objective_power = openslide_scale(properties)
    info = SlideInfo(
        path=shown.path,
        vendor=properties[openslide.PROPERTY_NAME_VENDOR],
        levels=tuple(map(level, range(slide.level_count))),
        mpp=mpp,
        objective_power=objective_power,
        icc_profile=shown.icc_profile(),
        description=properties.get(openslide.PROPERTY_NAME_COMMENT, ""),
        properties=properties,
        associated_images=images,
    )
    return info, omitted


def _associated_images(shown: OpenSlideFile) -> tuple[dict[str, AssociatedImage], list[str]]:
    most_px = budget_bytes() // _PICTURE_BYTES
    images, omitted = {}, []
    for name in sorted(shown.slide.associated_images):
        if _stated_px(shown.slide.properties, name) > most_px:
            omitted.append(f"a {name} too large for this machine's memory")
            continue
        try:
            picture = shown.picture(name)
            pixels = on_white(np.asarray(picture.convert("RGBA")))
            images[name] = lossless_image(pixels, picture.info.get("icc_profile"))
        except SlideReadError:
            omitted.append(f"a {name} that OpenSlide cannot read")
    return images, omitted


def _stated_px(properties: Mapping[str, str], name: str) -> float:
    sides = (properties.get(f"openslide.associated.{name}.{side}") for side in ("width", "height"))
    width, height = (positive_number(side) or 0.0 for side in sides)
    return width * height


def lossless_image(pixels: Pixels, icc_profile: bytes | None, description: str = "") -> AssociatedImage:
    """Return a picture as an associated image, stored in one strip without loss."""
    size = Size(pixels.shape[1], pixels.shape[0])
    strip = plain.encode(_LOSSLESS, np.ascontiguousarray(pixels))
    return AssociatedImage(size, _LOSSLESS, size.height, (strip,), icc_profile, description)
