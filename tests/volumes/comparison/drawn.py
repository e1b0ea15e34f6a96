"""Small volumes of arrays, and what a comparison of them says, without any codec."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from wsicomp.volumes.comparison.api import write_volume_results
from wsicomp.volumes.comparison.figures import counted_values
from wsicomp.volumes.comparison.results import ComparedVolume, PartFidelity, VolumeComparison, VolumeRow
from wsicomp.volumes.comparison.shown_slices import ShownSlices, shown_facts, slice_picker, source_script
from wsicomp.volumes.volume import Geometry

SHAPE = 6, 20, 24
"""(slices, rows, columns)"""
EXACT = PartFidelity(2880, 0, 0.0, None, None, None)
LOSSY = PartFidelity(2880, 40, 9.0, 61.5, 85.25, 58.0)


def voxels(seed=1, dtype=np.int16):
    """A volume from -1024 to 3071 whose every slice is another one: (slices, rows, columns)."""
    found = np.random.default_rng(seed).integers(-1024, 3072, SHAPE).astype(dtype)
    found[0, 0, :2] = -1024, 3071
    return found


def facts_of(found, name="ct.nii.gz", **others):
    counts = counted_values(found)
    depth, rows, columns = found.shape
    return ComparedVolume(
        name,
        format="NIfTI",
        modality="CT",
        modality_from="it was given",
        shape=(columns, rows, depth),
        dtype=found.dtype.name,
        spacing=(1.0, 2.0, 5.0),
        file_bytes=found.nbytes // 2,
        voxel_bytes=found.nbytes,
        used_bits=counts.used_bits,
        entropy_bits=counts.entropy_bits,
        least=counts.least,
        greatest=counts.greatest,
        **others,
    )


def row(candidate, ratio, name="ct.nii.gz", **others):
    """A row of what is exact, unless others say what it is."""
    is_exact = others.get("whole", EXACT) is EXACT
    found = VolumeRow(name, candidate, bytes=1000, ratio=ratio, ratio_of_file=ratio / 2, is_exact=is_exact)
    return replace(found, **{"whole": EXACT, "ssim": 1.0, "least_ssim": 1.0, "worst_slice": 0, **others})


def comparison_of(rows, volumes=None):
    labels = tuple(dict.fromkeys(each.candidate for each in rows))
    volumes = volumes or [ComparedVolume("ct.nii.gz", voxel_bytes=5760)]
    return VolumeComparison(tuple(volumes), tuple(rows), labels, "wsicomp 0", "2026-01-01", "wsicomp volume")


def write_page(folder: Path, source, found, mask, most=4):
    """Write a comparison of a volume with what came back exactly, and with what came back as `found`."""
    facts, counts = facts_of(source), counted_values(source)
    picker = slice_picker(facts, Geometry(), most)
    (folder / "volume-0.js").write_text(source_script(0, picker, source))
    for place, back in enumerate((source, found)):
        shown = ShownSlices(picker)
        for number, (one, other) in enumerate(zip(source, back, strict=True)):
            shown.see(number, one, other, mask[number] if place else None)
        (folder / f"volume-0-{place}.js").write_text(shown.script(0, place))
    tried = [{"label": "jpegxl", "reason": ""}, {"label": "hevc:20", "reason": ""}]
    tried.append({"label": "<b>&", "reason": "no such codec"})
    rows = [
        row("jpegxl", 2.5),
        row("hevc:20", 9.0, whole=LOSSY, inside=EXACT, outside=LOSSY, ssim_inside=1.0),
    ]
    rows.append(VolumeRow("ct.nii.gz", "<b>&", "no </script> codec"))
    write_volume_results(
        comparison_of(rows, [facts]), [{**shown_facts(facts, counts, picker), "candidates": tried}], folder
    )
    return picker
