"""A tree of every vendor's slides, and its archive."""

import os

import pytest
import tifffile

from tests.batch.trees import RESTORABLE, entries, run, write_slide
from tests.drawn import scanner_slides
from tests.drawn.dicom_slide import Form, dicom_of
from tests.tiffs import write_tiff


def draw_tree(folder):
    """A tree of an SVS and slides of other vendors, three of them of several files."""
    for name in ("a", "deep", "series"):
        (folder / name).mkdir(parents=True)
    write_slide(folder / "plain.svs")
    scanner_slides.ndpi(folder / "a/b.ndpi", 512, 256)
    scanner_slides.mrxs(folder / "deep/m.mrxs")
    (folder / "deep/m/empty").mkdir()
    scanner_slides.vms(folder / "v.vms")
    svs = write_tiff(folder / "x.svs", 300, 200, photometric="ycbcr", subsampling=(2, 1))
    dicom_of(svs, folder / "series", Form(parts=2))
    svs.unlink()
    draw_strips(folder / "strips.tif")
    for number, path in enumerate(sorted(folder.rglob("*"), reverse=True)):
        os.utime(path, ns=(10**18, 10**18 + number))


def draw_strips(path):
    """A TIFF without tiles."""
    tifffile.imwrite(path, scanner_slides.picture(300, 200), rowsperstrip=16, compression="jpeg")


@pytest.fixture(scope="session")
def kept_tree(tmp_path_factory):
    """A folder with the tree "source" and its conversions in "archive"; no test changes it."""
    folder = tmp_path_factory.mktemp("kept")
    draw_tree(folder / "source")
    result = run(folder / "source", folder / "archive", RESTORABLE)
    errors = [(entry.source, entry.error) for entry in entries(folder / "archive").values() if entry.error]
    assert (result.failed, result.converted) == (0, 6), errors
    return folder
