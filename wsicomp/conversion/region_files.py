"""Files of regions in a folder: one for each slide of a tree, by the slide's path without its suffix."""

from __future__ import annotations

from pathlib import Path

from wsicomp.config import ConversionConfig
from wsicomp.errors import MaskError
from wsicomp.files.inputs import is_folder
from wsicomp.regions.reader import SUFFIXES
from wsicomp.text.paths import as_path

_SUFFIXES = (*SUFFIXES, ".ome.tif", ".ome.tiff")


def has_folder_of_regions(config: ConversionConfig) -> bool:
    """Return whether a config names a folder that has a file of regions for each slide."""
    regions = config.regions
    return regions.roi is not None and not regions.word and is_folder(regions.roi)


def config_of_slide(config: ConversionConfig, root: Path, source: str) -> ConversionConfig:
    """Return the config of one slide, with its own file of regions; `source` is its path in the tree `root`.

    A config that names no folder of regions is returned as it is.

    Raises:
        MaskError: the slide has no file of regions, or two.
    """
    if not has_folder_of_regions(config):
        return config
    folder = config.regions.roi
    assert folder is not None, "a folder is named"
    return config.changed(roi=_region_file(folder, root, source))


def _region_file(folder: Path, root: Path, source: str) -> Path:
    slide = root / as_path(source)
    stem = (folder / as_path(source)).with_suffix("")
    paths = [stem.with_name(f"{stem.name}{suffix}") for suffix in _SUFFIXES]
    found = [path for path in paths if path.is_file() and path.absolute() != slide.absolute()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise MaskError(f"{names} both are regions of this slide; leave one there", stem.parent)
    if not found:
        others = ", ".join(_SUFFIXES[1:])
        raise MaskError(
            f"no {paths[0].name} with the regions of this slide, nor a file with {others}; draw them, or "
            "leave the slide out",
            stem.parent,
        )
    return found[0]
