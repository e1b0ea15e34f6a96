"""Tables of a comparison: medians, the papers' forms, and the same figures as CSV and Markdown."""

import csv
import json
import re
from dataclasses import replace

import numpy as np

from tests.volumes.comparison.drawn import EXACT, LOSSY, comparison_of, facts_of, row, voxels, write_page
from wsicomp.volumes.comparison.page import comparison_page, page_script
from wsicomp.volumes.comparison.paper_tables import diffusion_table, region_table, region_volume_table
from wsicomp.volumes.comparison.results import ComparedVolume, PartFidelity, VolumeRow
from wsicomp.volumes.comparison.tables import volume_markdown
from wsicomp.volumes.volume import Scaling


def test_medians_are_over_the_volumes_that_have_a_file():
    volumes = [
        ComparedVolume(name, voxel_bytes=size) for name, size in (("a", 4000), ("b", 2000), ("c", 9000))
    ]
    rows = [row("bz2", 2.0, "a"), row("bz2", 3.0, "b", whole=LOSSY, ssim=0.5, least_ssim=0.25)]
    rows.append(VolumeRow("c", "bz2", "no memory"))
    (found,) = comparison_of(rows, volumes).medians
    assert (found.volumes, found.bytes_before, found.bytes, found.ratio) == (2, 6000, 2000, 2.5)
    assert (found.ssim, found.least_ssim, found.most_error, found.psnr_db) == (0.75, 0.25, 9.0, 61.5)
    assert not found.is_exact
    assert found.total_ratio == 3


def test_the_tables_of_the_papers_have_their_figures_beside():
    rows = [
        row("jpegls", 2.5),
        row("jpegls+diffuse", 3.0, whole=LOSSY, inside=EXACT, outside=LOSSY),
        row("hevc+roi", 5.0, whole=LOSSY, inside=EXACT, outside=LOSSY),
    ]
    found = comparison_of(rows)
    regions = region_table(found)
    assert [each[0] for each in regions.rows] == ["hevc+roi", "published: HEVC, box at CRF 20, rest at 40"]
    assert regions.rows[0][1:] == ("5.76 kB", "1 kB", "5.76", "61.5", "1.0000", "exact", "61.5", "9")
    assert "5.75" in regions.note
    diffused = diffusion_table(found)
    assert diffused.rows[0] == ("jpegls", "2.50", "3.00", "+20 %", "85.2", "1.0000", "2.63 \u2192 4.12")
    assert ("published: BZ2", "-", "-", "-", "-", "-", "2.28 \u2192 3.45") in diffused.rows
    assert not any("JPEG-LS" in each[0] for each in diffused.rows)


def test_regions_stand_volume_by_volume_with_their_share_of_voxels():
    inside = replace(EXACT, voxels=288)
    names = ("a.nii", "b.nii")
    rows = [row("hevc+roi", 5.0, name, whole=LOSSY, inside=inside, outside=LOSSY) for name in names]
    table = region_volume_table(
        comparison_of(rows, [ComparedVolume(name, voxel_bytes=5760) for name in names])
    )
    assert [each[:2] for each in table.rows] == [("a.nii", "hevc+roi"), ("b.nii", "hevc+roi")]
    assert table.rows[0][2:] == ("10.0 %", "5.00", "1.0000", "exact", "61.5", "9", "0.0")
    assert region_volume_table(comparison_of(rows[:1])) is None


def test_what_differs_in_zeros_sign_alone_is_neither_exact_nor_has_a_psnr(tmp_path):
    part = PartFidelity(2880, 7, 0.0, None, None, None)
    found = comparison_of(
        [row("jpegxl:90", 5.0, whole=part, inside=part, outside=part)], [facts_of(voxels())]
    )
    assert region_table(found).rows[0][4:] == ("-", "1.0000", "-", "-", "0")
    assert ">exact<" not in comparison_page(found, [])


def test_a_paper_of_which_nothing_was_tried_has_no_table():
    found = comparison_of([row("jpegls", 2.5)])
    assert region_table(found) is None
    assert diffusion_table(found) is None


def test_the_peak_is_4096_hounsfield_units_for_ct_and_the_range_for_all_else():
    ct = facts_of(voxels(), scaling=Scaling(2.0, -1024.0))
    assert ct.peak == 2048
    assert replace(ct, modality="MR").peak == 4095


def test_used_bits_count_for_a_ratio_of_their_own():
    facts = facts_of(voxels())
    assert facts.used_bytes == facts.voxel_bytes * 12 / 16


def test_a_folder_of_results_says_the_same_everywhere(tmp_path):
    source = voxels()
    write_page(tmp_path, source, source + np.int16(3), np.ones(source.shape, bool))
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    values = json.loads((tmp_path / "results.json").read_text())
    assert [each["candidate"] for each in rows] == [each["candidate"] for each in values["rows"]]
    assert float(rows[1]["outside_psnr_db"]) == values["rows"][1]["outside"]["psnr_db"]
    assert rows[0]["inside_psnr_db"] == ""
    assert "| hevc:20 |" in (tmp_path / "results.md").read_text()
    page = (tmp_path / "index.html").read_text()
    assert "<b>&" not in page
    assert "no &lt;/script&gt; codec" in page


def test_a_failure_stands_in_the_text_with_its_reason():
    text = volume_markdown(comparison_of([row("jpegls", 2.5), VolumeRow("ct.nii.gz", "hevc", "NaN | inf")]))
    assert "- hevc: NaN" in text


def test_the_script_of_the_page_imports_and_exports_nothing():
    assert not re.search(r"^(import|export) ", page_script(), re.MULTILINE)
