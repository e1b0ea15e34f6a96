"""Ratios, PSNR and SSIM of volumes in the form of two published studies: regions, and diffusion.

The real volumes, CT and MR with labels, are those of a folder: `--folder`, or WSICOMP_VOLUMES. Phantoms with
true labels are drawn beside them. Every candidate writes a file in a process of its own; it is read back and
compared voxel by voxel. A file without loss of each volume is held against what nibabel, pynrrd or SimpleITK
reads.
"""

import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np
import results_page
import SimpleITK
from numpy.typing import NDArray
from usage import parser_of

import wsicomp
from wsicomp.volumes.comparison import VolumeComparison, VolumeComparisonOptions, compare_volumes
from wsicomp.volumes.comparison.tables import median_markdown, paper_markdown
from wsicomp.volumes.compress import compress_volume
from wsicomp.volumes.config import VolumeConfig
from wsicomp.volumes.phantom import PHANTOM_PARTS, drawn_volume

PAGE = results_page.PAGE.parent / "volumes.md"
FOLDER = Path(os.environ.get("WSICOMP_VOLUMES", "../shared/data/volumes"))
LABELLED = {
    "CT": (("lung1_image.nrrd", "lung1_label.nrrd"), ("ts_example_ct_sm.nii.gz", "ts_example_seg.nii.gz")),
    "MR": (
        ("brain1_image.nrrd", "brain1_label.nrrd"),
        ("ts_example_mr_sm.nii.gz", "ts_example_seg_mr.nii.gz"),
    ),
}
"""Volumes and their labels, by modality."""
OTHERS = ("ts_example_ct.nii.gz", "flair", "hippocampus/images/hippocampus_001.nii.gz")
"""Volumes without labels of their own grid, or that labels cover for the most part."""
GROUPS = (*LABELLED, "drawn", "others")
DRAWN = {"CT": ((24, 256, 256), "liver"), "MR": ((24, 256, 256), "grey matter")}
"""Shapes of phantoms (slices, rows, columns), and the part that is their region."""
LOSSLESS = (
    *("jpegxl", "jpegxl+effort=7", "jpegxl+effort=7+predict"),
    *("jpegls", "jpeg2000", "bz2"),
)
DIFFUSED = ("jpegxl+effort=7", "jpegls", "jpeg2000", "bz2", "hevc:1")
STUDIED = ("hevc+roi_quality=20+rest_quality=40+roi_form=box", "hevc+roi_quality=20+rest_quality=40")
RESTS = ("rest_codec=hevc+rest_quality=40", "rest_codec=jpeg+rest_quality=1")
BODIES = tuple(f"jpegxl+effort={effort}+roi=auto+{rest}" for rest in RESTS for effort in (7, 9))
LABELS = tuple(f"jpegxl+effort={effort}+roi+{rest}" for rest in RESTS for effort in (7, 9))
WITH_LABELS = (
    *LOSSLESS,
    "hevc:1",
    *STUDIED,
    *LABELS,
    *BODIES,
    *(f"{codec}+diffuse" for codec in DIFFUSED),
)
WITHOUT_LABELS = (*LOSSLESS, "hevc:1", *BODIES)


def drawn(folder: Path, modality: str) -> tuple[Path, Path]:
    """Write a phantom and the mask of its region as NIfTI, and return their paths."""
    shape, part = DRAWN[modality]
    found = drawn_volume(7, shape, modality)  # type: ignore[arg-type]
    affine = np.diag([*(-side for side in found.spacing[:2]), found.spacing[2], 1])
    mask = (found.labels == PHANTOM_PARTS[modality].index(part)).astype(np.uint8)
    paths = (
        folder / f"phantom_{modality}.nii.gz",
        folder / f"phantom_{modality}_{part.replace(' ', '_')}.nii.gz",
    )
    for path, voxels in zip(paths, (found.voxels, mask), strict=True):
        nibabel.save(nibabel.Nifti1Image(voxels.T, affine), path)
    return paths


def check_exact(source: Path, folder: Path) -> None:
    """Leave the benchmark if a volume that is kept without loss is not what another program reads."""
    target = folder / "exact.wsiv"
    compress_volume(source, target, VolumeConfig(overwrite=True))
    with wsicomp.open_volume(target) as ours:
        if not np.array_equal(np.asarray(ours), read_by_others(source)):
            sys.exit(f"{source.name}: other voxels than nibabel, pynrrd or SimpleITK reads")


def read_by_others(source: Path) -> NDArray[Any]:
    """Return the voxels (columns, rows, slices) as the library of their format reads them."""
    if source.is_dir():
        names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(source))
        return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(names)).T
    return nrrd.read(str(source))[0] if source.suffix == ".nrrd" else np.asarray(nibabel.load(source).dataobj)


def compared(
    name: str, pairs: Sequence[tuple[Path, Path | None]], scratch: Path, modality: str | None
) -> VolumeComparison:
    """Compare candidates on volumes with their labels, or on volumes without any."""
    for image, _ in pairs:
        check_exact(image, scratch)
    labels = tuple(found for _, found in pairs if found is not None)
    options = VolumeComparisonOptions(
        codec=WITH_LABELS if labels else WITHOUT_LABELS,
        roi=tuple(map(str, labels)),
        diffuse=labels,
        modality=modality,
        shown_slices=1,
    )
    return compare_volumes([image for image, _ in pairs], scratch / f"out-{name}", options, "", told)


def told(_: str, done: int, total: int) -> None:
    print(f"{done} of {total}", end="\r", file=sys.stderr, flush=True)


def text_of(found: VolumeComparison) -> str:
    """Return the tables of a comparison; rows without a file are told, and none is left out in silence."""
    lost = [
        f"- no file: {row.source}, {row.candidate}: {row.reason}\n" for row in found.rows if not row.is_done
    ]
    names = ", ".join(
        f"{each.name} ({' x '.join(map(str, each.shape))} {each.dtype}, "
        f"{each.entropy_bits or 0:.2f} bits of entropy)"
        for each in found.done
    )
    return "\n".join([f"{names}.\n", median_markdown(found), *paper_markdown(found), *lost])


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the volumes")
    parser.add_argument(
        "--only", choices=GROUPS, nargs="+", default=GROUPS, help="measure these volumes alone"
    )
    results_page.add_options(parser, PAGE)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            pairs = pairs_of(name, options.folder, Path(folder))
            found = compared(name, pairs, Path(folder), name if name in LABELLED else None)
            publish(options, name, found)


def pairs_of(name: str, folder: Path, scratch: Path) -> list[tuple[Path, Path | None]]:
    """Return the volumes of a group with their labels, if any; drawn ones are written into `scratch`."""
    if name == "drawn":
        return [drawn(scratch, modality) for modality in DRAWN]
    if name == "others":
        return [(folder / image, None) for image in OTHERS]
    return [(folder / image, folder / labels) for image, labels in LABELLED[name]]


def publish(options: Namespace, name: str, found: VolumeComparison) -> None:
    """Print the tables of a comparison, and put them into the page of results where that was asked."""
    about = f"{results_page.machine('nibabel', 'pynrrd', 'av')}\n\n"
    results_page.publish(options, f"volumes, {name}", about + text_of(found), PAGE)


if __name__ == "__main__":
    main()
