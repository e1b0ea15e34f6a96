"""The whole line, from a source's file to the target's, seen through OpenSlide and tifffile."""

import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

import wsicomp
from tests import tiffs
from wsicomp import ConfigError, ConversionConfig, SlideWriteError, TargetExistsError, VerificationError
from wsicomp.conversion.convert import segment_slide
from wsicomp.files.atomic import partial_path
from wsicomp.formats.identity import file_sha256
from wsicomp.formats.opening import open_reader
from wsicomp.formats.tiff import xmp
from wsicomp.geometry import Size
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.provenance import Provenance
from wsicomp.progress import Stages
from wsicomp.synthetic import SyntheticSlide, write_slide


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiffs.write_tiff(tmp_path_factory.mktemp("source") / "Doe, Jane.svs", 400, 300)


def convert(source, target, **options):
    """With the colour threshold, which takes a disc of one colour for tissue; the network knows better."""
    plain = {"margin_um": 0, "segmenter": "threshold"}
    return wsicomp.convert_slide(source, target, ConversionConfig.of(**plain | options))


def pixels(path, level=0):
    with openslide.OpenSlide(path) as slide:
        return np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))


def provenance(path):
    with tifffile.TiffFile(path) as tiff:
        return Provenance.from_text(xmp.unwrap(tiff.pages[0].tags[xmp.XMP_TAG].value))


def test_copied_tissue_is_exact_and_white_glass_is_white(source, tmp_path):
    report = convert(source, tmp_path / "target.svs", glass="white")
    before, after = pixels(source)[..., :3], pixels(tmp_path / "target.svs")[..., :3]
    actions = provenance(tmp_path / "target.svs").plan.levels[0].actions
    assert {"B", "C"} == set(actions.flat)
    for (row, column), action in np.ndenumerate(actions):
        where = np.s_[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64]
        if action == "C":
            assert (after[where] == before[where]).all()
        else:
            assert (after[where] == 255).all()
    level = report.levels[0]
    assert (level.copied, level.blank) == ((actions == "C").sum(), (actions == "B").sum())
    assert report.verified


def test_keeping_glass_changes_no_pixel(source, tmp_path):
    convert(source, tmp_path / "target.svs", glass="keep")
    assert (pixels(tmp_path / "target.svs") == pixels(source)).all()


def test_encoding_keeps_tissue_close_and_paints_the_glass_of_mixed_tiles(source, tmp_path):
    convert(source, tmp_path / "target.svs", codec="jpeg", background="#ff00ff")
    before, after = pixels(source)[..., :3].astype(int), pixels(tmp_path / "target.svs")[..., :3].astype(int)
    actions = provenance(tmp_path / "target.svs").plan.levels[0].actions
    assert "M" in actions
    disc = before[..., 1] < 120
    assert np.sqrt(np.mean((before[disc] - after[disc]) ** 2)) < 6
    painted = np.abs(after - (255, 0, 255)).max(axis=2) < 12
    assert not (painted & disc).any()
    assert painted.mean() > 0.5


def test_empty_tiles_are_transparent_without_bounds(source, tmp_path):
    report = convert(source, tmp_path / "target.tiff", glass="empty")
    after = pixels(tmp_path / "target.tiff")
    actions = provenance(tmp_path / "target.tiff").plan.levels[0].actions
    assert report.container == "tiff"
    assert report.levels[0].empty > 0
    for (row, column), action in np.ndenumerate(actions):
        alpha = after[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64, 3]
        assert (alpha == (0 if action == "Z" else 255)).all()
    assert [actions[0, 0], actions[0, -1], actions[-1, 0], actions[-1, -1]] == ["B"] * 4
    with openslide.OpenSlide(tmp_path / "target.tiff") as slide:
        assert not [name for name in slide.properties if "bounds" in name]
    assert (tifffile.imread(tmp_path / "target.tiff", key=0)[:64, 64:128] == 255).all()


def test_blank_tiles_are_stored_once(source, tmp_path):
    convert(source, tmp_path / "target.svs")
    with tifffile.TiffFile(tmp_path / "target.svs") as tiff:
        page = tiff.pages[0]
        blank = provenance(tmp_path / "target.svs").plan.levels[0].actions.reshape(-1) == "B"
        assert len(set(np.array(page.dataoffsets)[blank].tolist())) == 1
        assert len(set(page.dataoffsets)) == 1 + (~blank).sum()


def test_the_same_source_and_choices_give_the_same_bytes(source, tmp_path):
    for workers in (1, 2, 5):
        convert(source, tmp_path / f"{workers}.svs", codec="jpeg", workers=workers)
    assert len({file_sha256(tmp_path / f"{workers}.svs") for workers in (1, 2, 5)}) == 1


def test_the_report_tells_the_truth(source, tmp_path):
    target = tmp_path / "target.svs"
    report = convert(source, target)
    assert (report.source_bytes, report.target_bytes) == (source.stat().st_size, target.stat().st_size)
    assert report.saved == 1 - report.target_bytes / report.source_bytes
    assert report.source_sha256 == file_sha256(source)
    assert set(report.elapsed_s) == {"identify", "overview", "segment", "survey", "write", "verify"}
    assert report.peak_memory_bytes > 10_000_000
    assert json.loads(json.dumps(report.to_json()))["codec"] == "copy"


def test_the_file_carries_its_plan(source, tmp_path):
    plan = wsicomp.plan_slide(source, ConversionConfig.of(margin_um=0, segmenter="threshold"))
    convert(source, tmp_path / "target.svs")
    carried = provenance(tmp_path / "target.svs").plan
    assert carried.to_json() == plan.to_json()
    assert carried.source.sha256 == file_sha256(source)
    assert carried.source.name == "Doe, Jane.svs"


def test_a_plan_survives_json(source):
    plan = wsicomp.plan_slide(source)
    again = ConversionPlan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again.to_json() == plan.to_json()
    assert (again.levels[0].actions == plan.levels[0].actions).all()
    assert again.levels[0].encoding == plan.levels[0].encoding


def test_planning_writes_nothing(source):
    before = sorted(source.parent.iterdir())
    wsicomp.plan_slide(source)
    assert sorted(source.parent.iterdir()) == before


def test_deidentified_output_names_nobody(tmp_path):
    text = tiffs.DESCRIPTION.format(400, 300) + "|User = Jane Doe|Filename = DOE^JANE"
    source = tiffs.write_tiff(tmp_path / "Doe, Jane.svs", 400, 300, description=text)
    for name, options in {"a.svs": {}, "b.tiff": {"format": "tiff"}}.items():
        report = convert(source, tmp_path / name, deidentify=True, **options)
        assert report.dropped == ("User", "Filename")
        assert b"oe" not in (tmp_path / name).read_bytes().replace(b"Aperio Image Library", b"")[:2000]
        data = (tmp_path / name).read_bytes()
        assert not any(word in data for word in (b"Jane", b"Doe", b"DOE"))
    with openslide.OpenSlide(tmp_path / "a.svs") as slide:
        assert slide.properties["openslide.mpp-x"] == "0.5"
        assert "aperio.User" not in slide.properties


def test_a_generic_tiff_keeps_scale_as_tags_and_the_rest_as_provenance(source, tmp_path):
    convert(source, tmp_path / "target.tiff", format="tiff")
    with openslide.OpenSlide(tmp_path / "target.tiff") as slide:
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5, rel=1e-6)
    carried = provenance(tmp_path / "target.tiff")
    assert carried.plan.objective_power == 20.0
    assert carried.properties["aperio.AppMag"] == "20"
    assert carried.mask["source"] == "threshold"


def test_a_scale_that_is_not_stated_stays_so(tmp_path):
    source = tiffs.write_tiff(tmp_path / "source.tiff", 400, 300, svs=False)
    for name in ("a.svs", "b.tiff"):
        report = convert(source, tmp_path / name, format=name.split(".")[1])
        assert any("um per px" in note for note in report.notes)
        with openslide.OpenSlide(tmp_path / name) as slide:
            assert "openslide.mpp-x" not in slide.properties


@pytest.mark.gate
def test_missing_levels_are_added_by_box_reduction(tmp_path):
    source = tiffs.write_tiff(
        tmp_path / "source.svs", 5000, 2000, tile=(256, 256), compressionargs={"level": 95}
    )
    report = convert(source, tmp_path / "target.svs", levels="full", glass="keep", quality=95)
    assert [(level.width, level.height) for level in report.levels] == [(5000, 2000), (1250, 500), (312, 125)]
    full = pixels(source)[..., :3].astype(float)
    reduced = full.reshape(500, 4, 1250, 4, 3).mean(axis=(1, 3))
    assert np.abs(pixels(tmp_path / "target.svs", 1)[..., :3] - reduced).mean() < 1.5


def test_the_icc_profile_is_carried_on(tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = tiffs.write_tiff(tmp_path / "source.svs", 400, 300, iccprofile=profile)
    for name in ("a.svs", "b.tiff"):
        convert(source, tmp_path / name, format=name.split(".")[1])
        with openslide.OpenSlide(tmp_path / name) as slide:
            assert slide.color_profile.tobytes() == profile


def test_a_mask_file_takes_the_segmenter_s_place(source, tmp_path):
    mask = Image.new("L", (400, 300))
    mask.paste(255, (0, 0, 64, 64))
    mask.save(tmp_path / "mask.png")
    report = convert(source, tmp_path / "target.svs", mask=tmp_path / "mask.png")
    assert provenance(tmp_path / "target.svs").plan.levels[0].actions[0, 0] == "C"
    assert report.rescued_tiles > 0
    assert provenance(tmp_path / "target.svs").mask["source"] == "file"


def test_tissue_that_the_mask_missed_is_rescued_and_counted(source, tmp_path):
    Image.new("L", (400, 300)).save(tmp_path / "nothing.png")
    report = convert(source, tmp_path / "target.svs", mask=tmp_path / "nothing.png")
    disc = pixels(source)[..., 1] < 120
    after = pixels(tmp_path / "target.svs")
    assert report.rescued_tiles > 0
    assert (after[disc] == pixels(source)[disc]).all()


def test_a_slide_of_glass_alone_becomes_one_tile(tmp_path):
    blank = np.full((300, 400, 3), 240, np.uint8)
    source = tiffs.write_tiff(tmp_path / "source.svs", 400, 300, pixels=blank)
    report = convert(source, tmp_path / "target.svs")
    assert report.levels[0].copied == 0
    assert np.abs(pixels(tmp_path / "target.svs")[..., :3].astype(int) - 240).max() <= 1
    report = convert(source, tmp_path / "target.tiff", glass="empty")
    assert report.levels[0].blank == 4


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (65, 1), (1, 200)])
def test_the_smallest_slides_convert(tmp_path, size):
    dark = np.full((size[1], size[0], 3), 90, np.uint8)
    source = tiffs.write_tiff(tmp_path / "source.svs", *size, pixels=dark)
    for codec in ("copy", "jpeg"):
        for glass in ("keep", "white", "empty"):
            target = tmp_path / f"{codec}-{glass}.tiff"
            convert(source, target, codec=codec, glass=glass, format="tiff")
            assert np.abs(pixels(target)[..., :3].astype(int) - 90).max() < 4


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", ["jpeg", "lzw", "deflate", "zstd", "none"])
def test_every_compression_that_openslide_reads_is_copied(tmp_path, compression, big):
    options = {"predictor": True} if compression in ("lzw", "deflate") else {}
    source = tiffs.write_tiff(
        tmp_path / "source.tiff", 400, 300, svs=False, compression=compression, bigtiff=big, **options
    )
    report = convert(source, tmp_path / "target.tiff")
    assert (report.codec, report.container) == ("copy", "tiff")
    tissue = pixels(source)[..., 1] < 120
    assert (pixels(tmp_path / "target.tiff")[tissue] == pixels(source)[tissue]).all()
    assert report.levels[0].blank > 0


def test_tiles_that_the_source_does_not_store_stay_away(tmp_path):
    source = tiffs.write_tiff(tmp_path / "source.tiff", 400, 300, svs=False, compression="deflate")
    with tifffile.TiffFile(source) as tiff:
        counts = list(tiff.pages[0].databytecounts)
    counts[17] = 0
    tiffs.overwrite_tag(source, 325, counts)
    report = convert(source, tmp_path / "target.tiff", glass="keep")
    assert report.levels[0].empty == 1
    assert (pixels(tmp_path / "target.tiff") == pixels(source)).all()


def test_a_target_that_exists_is_left_alone(source, tmp_path):
    target = tmp_path / "target.svs"
    target.write_text("precious")
    with pytest.raises(TargetExistsError, match="`overwrite=True`"):
        convert(source, target)
    assert target.read_text() == "precious"
    convert(source, target, overwrite=True)
    assert pixels(target).shape == (300, 400, 4)


def test_a_target_that_appears_meanwhile_is_left_alone(source, tmp_path):
    target = tmp_path / "target.svs"

    def appear(stage, done, total):
        if stage == "verify":
            target.write_text("precious")

    with pytest.raises(TargetExistsError):
        wsicomp.convert_slide(source, target, ConversionConfig(), appear)
    assert target.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["target.svs"]


@pytest.mark.parametrize("link", ["same", "symlink", "hardlink"])
def test_a_source_is_never_its_own_target(tmp_path, link):
    source = tiffs.write_tiff(tmp_path / "source.svs")
    before = source.read_bytes()
    target = tmp_path / "link.svs" if link != "same" else source
    if link == "symlink":
        target.symlink_to(source)
    if link == "hardlink":
        target.hardlink_to(source)
    with pytest.raises(SlideWriteError, match="never overwritten"):
        convert(source, target, overwrite=True)
    assert source.read_bytes() == before


def test_a_target_in_no_directory_is_refused(source, tmp_path):
    with pytest.raises(SlideWriteError, match="does not exist; make it first"):
        convert(source, tmp_path / "gone" / "target.svs")
    with pytest.raises(SlideWriteError, match="is a directory"):
        convert(source, tmp_path, overwrite=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission_is_refused(source, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SlideWriteError, match="Permission denied"):
        convert(source, tmp_path / "target.svs")
    tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_leaves_nothing(source, tmp_path, monkeypatch):
    from wsicomp.formats.converted import writer

    monkeypatch.setattr(writer, "open_locked", lambda *_: Path("/dev/full").open("r+b", buffering=0))  # noqa: SIM115
    with pytest.raises(SlideWriteError, match="cannot be written"):
        convert(source, tmp_path / "target.svs")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_s_remains_are_written_over(source, tmp_path):
    partial_path(tmp_path / "target.svs").write_bytes(b"half a slide" * 100_000)
    convert(source, tmp_path / "target.svs")
    assert [path.name for path in tmp_path.iterdir()] == ["target.svs"]


def test_two_runs_never_write_one_target(source, tmp_path):
    import fcntl

    with partial_path(tmp_path / "target.svs").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TargetExistsError, match="another run"):
            convert(source, tmp_path / "target.svs")
        assert partial_path(tmp_path / "target.svs").exists()


def test_a_result_that_fails_its_check_is_not_kept(source, tmp_path, monkeypatch):
    from wsicomp.codecs.jpeg import Codec

    monkeypatch.setattr(Codec, "encode", lambda self, pixels: b"\xff\xd8 no picture")
    with pytest.raises(VerificationError, match="tile-damaged"):
        convert(source, tmp_path / "target.svs", codec="jpeg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"codec": "dream"}, "codec is 'dream', which is none; `wsicomp codecs` lists all"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(source, tmp_path, options, told):
    with pytest.raises((ConfigError, LookupError), match=told):
        convert(source, tmp_path / "target.tiff", **options)
    assert list(tmp_path.iterdir()) == []


def test_the_source_is_never_touched(source, tmp_path):
    copy = shutil.copy2(source, tmp_path / "source.svs")
    before = (copy.read_bytes(), copy.stat().st_mtime_ns)
    copy.chmod(0o400)
    convert(copy, tmp_path / "target.svs")
    assert (copy.read_bytes(), copy.stat().st_mtime_ns) == before


def test_a_flawed_tile_of_the_source_is_copied_and_counted(source, tmp_path):
    flawed = shutil.copy(source, tmp_path / "flawed.svs")
    with tifffile.TiffFile(flawed) as tiff:
        sizes = np.array(tiff.pages[0].databytecounts)
        number = int(sizes.argmax())
        end = tiff.pages[0].dataoffsets[number] + int(sizes[number])
    data = bytearray(flawed.read_bytes())
    data[end - 40 : end] = b"\xff\xd9" + bytes(38)
    flawed.write_bytes(data)
    report = convert(flawed, tmp_path / "target.svs", glass="keep")
    assert report.flawed_tiles == 1


@pytest.mark.gate
def test_what_is_left_out_is_reported_by_name(tmp_path):
    source = tmp_path / "source.svs"
    write_slide(source, SyntheticSlide(Size(600, 500), fragments=0))
    assert convert(source, tmp_path / "a.svs").dropped == ()
    assert convert(source, tmp_path / "b.svs", label=False, macro=False).dropped == ("label", "macro")
    with openslide.OpenSlide(tmp_path / "b.svs") as slide:
        assert set(slide.associated_images) == {"thumbnail"}


@pytest.mark.parametrize("link", ["symlink", "hardlink", "itself"])
def test_a_partial_file_that_is_the_source_is_refused(tmp_path, link):
    target = tmp_path / "target.svs"
    source = tiffs.write_tiff(partial_path(target) if link == "itself" else tmp_path / "source.svs")
    if link == "symlink":
        partial_path(target).symlink_to(source)
    if link == "hardlink":
        partial_path(target).hardlink_to(source)
    before = source.read_bytes()
    with pytest.raises(SlideWriteError, match="never overwritten"):
        convert(source, target)
    assert source.read_bytes() == before


def test_a_partial_file_that_is_not_ours_is_left_alone(source, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    partial_path(tmp_path / "target.svs").hardlink_to(precious)
    with pytest.raises(SlideWriteError, match="not ours"):
        convert(source, tmp_path / "target.svs")
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.99])
def test_a_file_system_that_is_full_at_any_point_leaves_nothing(source, tmp_path, share):
    import resource
    import signal

    convert(source, tmp_path / "whole.svs")
    limit = int((tmp_path / "whole.svs").stat().st_size * share)
    (tmp_path / "whole.svs").unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(SlideWriteError, match="cannot be written"):
            convert(source, tmp_path / "target.svs")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def pale_square(side, size=1600):
    pixels = np.full((size, size, 3), (241, 240, 242), np.uint8)
    start = (size - side) // 2 // 64 * 64
    pixels[start : start + side, start : start + side] = (235, 195, 220)
    return pixels, np.s_[start : start + side, start : start + side]


@pytest.mark.gate
@pytest.mark.parametrize(
    ("tile", "mpp"), [(32, 0.25), (64, 0.25), pytest.param(256, 0.1, marks=pytest.mark.slow), (256, 0.05)]
)
def test_the_guard_sees_pale_tissue_on_small_tiles_and_at_small_scales(tmp_path, tile, mpp):
    square, where = pale_square(400)
    text = tiffs.DESCRIPTION.format(1600, 1600).replace("MPP = 0.5", f"MPP = {mpp}")
    source = tiffs.write_tiff(tmp_path / "s.svs", pixels=square, tile=(tile, tile), description=text)
    convert(source, tmp_path / "t.svs")
    assert (pixels(tmp_path / "t.svs")[where] == pixels(source)[where]).all()


@pytest.mark.gate
def test_pale_tissue_over_most_of_a_slide_is_not_taken_for_glass(tmp_path):
    square, where = pale_square(1540)
    source = tiffs.write_tiff(tmp_path / "s.svs", pixels=square)
    convert(source, tmp_path / "t.svs")
    assert (pixels(tmp_path / "t.svs")[where] == pixels(source)[where]).all()


def test_what_the_guard_kept_stays_on_added_levels(tmp_path):
    square, where = pale_square(200, 2400)
    source = tiffs.write_tiff(tmp_path / "s.svs", pixels=square, tile=(64, 64))
    convert(source, tmp_path / "t.svs", levels="full", background="#000000", quality=95)
    middle = where[0].start // 4 + 25
    assert np.abs(pixels(tmp_path / "t.svs", 1)[middle, middle, :3].astype(int) - (235, 195, 220)).max() < 12


@pytest.mark.parametrize("mpp", [0.0005, 0.02, 5000])
def test_an_implausible_scale_neither_hangs_nor_crashes(tmp_path, mpp):
    text = tiffs.DESCRIPTION.format(400, 300).replace("MPP = 0.5", f"MPP = {mpp}")
    source = tiffs.write_tiff(tmp_path / "s.svs", 400, 300, description=text)
    assert convert(source, tmp_path / "t.svs", codec="jpeg", margin_um=50).verified
    with openslide.OpenSlide(source) as before, openslide.OpenSlide(tmp_path / "t.svs") as after:
        assert after.dimensions == before.dimensions == (400, 300)
        assert after.properties["aperio.MPP"] == before.properties["aperio.MPP"] == str(mpp)


def test_a_decimal_comma_is_read_as_openslide_reads_it(tmp_path):
    text = tiffs.DESCRIPTION.format(400, 300).replace("MPP = 0.5", "MPP = 0,5")
    source = tiffs.write_tiff(tmp_path / "s.svs", 400, 300, description=text)
    assert convert(source, tmp_path / "t.svs").verified


def test_values_and_keys_and_comments_name_nobody_either(tmp_path):
    text = tiffs.DESCRIPTION.format(400, 300) + "|Parmset = ROE^RICHARD|Filtered = 5 Roe|Richard Roe = 1"
    source = tiffs.write_tiff(tmp_path / "s.svs", 400, 300, description=text)
    report = convert(source, tmp_path / "t.svs", deidentify=True)
    assert not any(word in (tmp_path / "t.svs").read_bytes() for word in (b"ROE", b"Roe", b"Richard"))
    assert set(report.dropped) == {"Parmset", "Filtered", "unknown field"}


def test_a_comment_in_a_copied_tile_is_left_out_when_no_name_may_stay(tmp_path):
    source = tiffs.write_tiff(tmp_path / "s.svs", 400, 300)
    with tifffile.TiffFile(source) as tiff:
        number = int(np.argmax(tiff.pages[0].databytecounts))
        offset, count = tiff.pages[0].dataoffsets[number], tiff.pages[0].databytecounts[number]
        offsets, counts = list(tiff.pages[0].dataoffsets), list(tiff.pages[0].databytecounts)
    data = source.read_bytes()
    tile = data[offset : offset + count]
    comment = b"\xff\xfe\x00\x0aJane Roe"
    offsets[number], counts[number] = len(data), count + len(comment)
    source.write_bytes(data + tile[:2] + comment + tile[2:])
    tiffs.overwrite_tag(tiffs.overwrite_tag(source, 324, offsets), 325, counts)
    for name, options in {"t.svs": {"glass": "keep"}, "u.svs": {"codec": "jpeg"}}.items():
        convert(source, tmp_path / name, deidentify=True, **options)
        assert b"Jane" not in (tmp_path / name).read_bytes()
    with openslide.OpenSlide(source) as one, openslide.OpenSlide(tmp_path / "t.svs") as other:
        whole = (0, 0), 0, (400, 300)
        assert (np.asarray(one.read_region(*whole)) == np.asarray(other.read_region(*whole))).all()


def test_images_that_are_not_carried_on_are_named(tmp_path):
    source = tmp_path / "s.tiff"
    with tifffile.TiffWriter(source) as tiff:
        for _ in range(2):
            tiff.write(
                tiffs.picture(200, 150), tile=(64, 64), compression="jpeg", photometric="rgb", metadata=None
            )
        tiff.write(np.zeros((30, 40), np.uint8), photometric="minisblack", metadata=None)
    notes = " ".join(convert(source, tmp_path / "t.tiff").notes)
    assert "an image of 40 x 30 px in strips" in notes
    assert "1 tiled image that OpenSlide does not show" in notes


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    path = tmp_path_factory.mktemp("drawn") / "drawn.svs"
    write_slide(path, SyntheticSlide(Size(4096, 3072), seed=6, sections=1, tissue_fraction=0.2))
    return path


def test_by_default_the_network_finds_tissue_and_an_audit_shows_what_went(drawn, tmp_path):
    report = wsicomp.convert_slide(drawn, tmp_path / "t.svs", audit=tmp_path / "audit.png")
    mask = provenance(tmp_path / "t.svs").mask
    assert mask["source"].startswith("U-Net tissue-unet at 2.5x")
    assert report.levels[0].blank > 15
    with Image.open(tmp_path / "audit.png") as picture:
        assert picture.width == 1024
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.png", "t.svs"]


@pytest.mark.gate
def test_an_audit_by_a_jpeg_name_is_a_jpeg(drawn, tmp_path):
    for name in ("audit.png", "audit.jpg"):
        wsicomp.plan_slide(drawn, audit=tmp_path / name)
    with Image.open(tmp_path / "audit.png") as exact, Image.open(tmp_path / "audit.jpg") as close:
        assert (exact.format, close.format, exact.size) == ("PNG", "JPEG", close.size)
        assert np.abs(np.asarray(exact).astype(int) - np.asarray(close)).mean() < 3


def test_an_audit_that_cannot_be_written_leaves_no_target(drawn, tmp_path):
    with pytest.raises(SlideWriteError, match="does not exist"):
        wsicomp.convert_slide(drawn, tmp_path / "t.svs", audit=tmp_path / "gone/audit.png")
    over = ConversionConfig.of(overwrite=True)
    with pytest.raises(SlideWriteError, match="is an input"):
        wsicomp.convert_slide(drawn, tmp_path / "t.svs", over, audit=drawn)
    with pytest.raises(SlideWriteError, match="is an input"):
        wsicomp.plan_slide(drawn, over, audit=drawn)
    with closing(open_reader(drawn)) as slide, pytest.raises(SlideWriteError, match="is an input"):
        segment_slide(slide, over, drawn, Stages())
    with pytest.raises(SlideWriteError, match="a file of its own"):
        wsicomp.convert_slide(drawn, tmp_path / "t.svs", audit=tmp_path / "t.svs")
    with pytest.raises(ConfigError, match="glass is kept"):
        wsicomp.plan_slide(drawn, ConversionConfig.of(glass="keep"), audit=tmp_path / "audit.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.gate
def test_the_digest_knows_the_network(drawn, tmp_path):
    digests = {
        wsicomp.plan_slide(drawn, config).digest
        for config in (
            ConversionConfig(),
            ConversionConfig.of(segmenter="threshold"),
            ConversionConfig.of(magnification=1.25),
            ConversionConfig.of(speck_um=0),
        )
    }
    assert len(digests) == 4


def test_a_slide_without_scale_says_how_tissue_was_looked_for(tmp_path):
    source = tiffs.write_tiff(tmp_path / "source.tiff", 400, 300, svs=False)
    notes = wsicomp.plan_slide(source).notes
    assert any("as if level 0 had 0.5 um per px" in note for note in notes)
