"""OpenSlide's properties of a source, as far as they hold for its conversion.

Source: openslide 4.0.1 `openslide.c`, the properties that it derives from levels and images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from openslide import PROPERTY_NAME_QUICKHASH1

from wsicomp.formats.tiff.quickhash import quickhash
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.slide import AssociatedImage, SlideInfo

_LEVELS = ("openslide.level-count", "openslide.level[")
_IMAGES = "openslide.associated."


def openslide_properties(slide: TiffSlide) -> dict[str, str]:
    """Return OpenSlide's properties of the source, sorted by name.

    Those that the conversion changed have this file's values.
    """
    recorded = dict(slide.info.properties)
    own = dict(_own(slide.info)) | dict(_of_images(shown_images(slide)))
    if not _keeps_source_hash(slide):
        found = quickhash(slide)
        recorded.pop(PROPERTY_NAME_QUICKHASH1, None)
        recorded |= {} if found is None else {PROPERTY_NAME_QUICKHASH1: found}
    if slide.provenance is not None:
        if not _keeps_source_levels(slide.info, recorded):
            recorded = {name: value for name, value in recorded.items() if not name.startswith(_LEVELS)}
        shown = tuple(f"{_IMAGES}{name}." for name in shown_images(slide))
        gone = {name for name in recorded if name.startswith(_IMAGES) and not name.startswith(shown)}
        recorded = {name: value for name, value in recorded.items() if name not in gone}
    return dict(sorted((own | recorded).items()))


def _keeps_source_hash(slide: TiffSlide) -> bool:
    """Return whether the source's quickhash holds for the file, because every pixel is still the source's.

    Otherwise a file has the quickhash that OpenSlide computes of the file itself.
    """
    shown = "openslide.level-count" in slide.info.properties
    return shown and slide.provenance is not None and slide.provenance.shows_every_pixel


def icc_size_property(image: str) -> str:
    """Return the name of the property with the bytes of an associated image's ICC profile."""
    return f"{_IMAGES}{image}.icc-size"


def shown_images(slide: TiffSlide) -> Mapping[str, AssociatedImage | None]:
    """Return the associated images that OpenSlide shows of the source, by name; all where that is not known.

    OpenSlide shows all images of an SVS that wsicomp writes, whatever it took them for in the source: a tiled
    label is a level there, one that stands second the thumbnail. None stands for a damaged image.
    """
    images: dict[str, AssociatedImage | None] = dict(slide.info.associated_images)
    if slide.provenance is not None:
        images |= dict.fromkeys(name for name in slide.provenance.plan.images if name not in images)
        if slide.provenance.plan.container == "svs":
            return dict(sorted(images.items()))
    images = dict(sorted(images.items()))
    recorded = slide.info.properties
    if "openslide.level-count" not in recorded:
        return images
    return {name: image for name, image in images.items() if f"{_IMAGES}{name}.width" in recorded}


def _own(info: SlideInfo) -> Iterator[tuple[str, str]]:
    yield "openslide.vendor", info.vendor
    yield "openslide.level-count", str(len(info.levels))
    for number, level in enumerate(info.levels):
        name = f"openslide.level[{number}]"
        yield f"{name}.downsample", f"{level.downsample:.17g}"
        yield f"{name}.width", str(level.size.width)
        yield f"{name}.height", str(level.size.height)
        yield f"{name}.tile-width", str(level.tile.width)
        yield f"{name}.tile-height", str(level.tile.height)
    if info.mpp is not None:
        yield "openslide.mpp-x", f"{info.mpp.x:.17g}"
        yield "openslide.mpp-y", f"{info.mpp.y:.17g}"
    if info.objective_power is not None:
        yield "openslide.objective-power", f"{info.objective_power:.17g}"
    if info.icc_profile:
        yield "openslide.icc-size", str(len(info.icc_profile))


def _of_images(images: Mapping[str, AssociatedImage | None]) -> Iterator[tuple[str, str]]:
    for name, image in images.items():
        if image is None:
            continue
        yield f"{_IMAGES}{name}.width", str(image.size.width)
        yield f"{_IMAGES}{name}.height", str(image.size.height)
        if image.icc_profile:
            yield icc_size_property(name), str(len(image.icc_profile))


def _keeps_source_levels(info: SlideInfo, recorded: Mapping[str, str]) -> bool:
    own = {name: value for name, value in _own(info) if name.endswith(("width", "height", "-count"))}
    return all(recorded.get(name) == value for name, value in own.items())
