"""From a table of labelled slides to a patch set: what is read, what is cut, what is refused."""

from contextlib import closing

import h5py
import numpy as np
import pytest
from PIL import Image

from tests import tiffs
from wsicomp.errors import MaskError, TrainingError
from wsicomp.formats.picture import open_picture
from wsicomp.geometry import Region
from wsicomp.progress import Stages
from wsicomp.tissue.scale import choose_scale
from wsicomp.training.data.labels import GLASS, IGNORED, TISSUE, Truth, open_truth
from wsicomp.training.data.patch_set import build_patch_set, open_patch_set
from wsicomp.training.data.slide_table import read_table
from wsicomp.training.data.synthetic import draw_labelled_slides

HEADER = "name\tum_per_px\tsplit\tsource_group\tlicence\tweights_may_train_on\tmask"


def write_section(folder, name, width, height):
    """A picture with a disc of tissue, and labels whose right tenth does not score."""
    for part in ("images", "masks"):
        (folder / part).mkdir(exist_ok=True)
    pixels = tiffs.picture(width, height)
    labels = np.where(pixels[..., 0] == 150, TISSUE, GLASS).astype(np.uint8)
    labels[:, -(width // 10) :] = IGNORED
    Image.fromarray(pixels).save(folder / f"images/{name}.png")
    Image.fromarray(labels).save(folder / f"masks/{name}.png")
    return labels


def table(folder, *lines):
    path = folder / "table.tsv"
    path.write_text("\n".join((HEADER, *lines)) + "\n")
    return path


@pytest.fixture
def sections(tmp_path):
    write_section(tmp_path, "fine", 1100, 700)
    write_section(tmp_path, "coarse", 300, 200)
    lines = (
        "fine\t2.0\ttrain\tp1\tCC0\tyes\t",
        "coarse\t16\ttest\tp2\t\tno\t",
        "fine2\t4\t\t\t\t\tall-glass",
    )
    write_section(tmp_path, "fine2", 520, 300)
    return table(tmp_path, *lines)


def test_a_table_says_what_it_says(sections):
    fine, coarse, fine2 = read_table(sections)
    assert (fine.mpp, fine.group, fine.may_train, fine.split) == (2.0, "p1", True, "train")
    assert (coarse.may_train, coarse.licence, coarse.split) == (False, "not stated", "test")
    assert (fine2.mask, fine2.everywhere, fine2.group, fine2.may_train) == (None, "all-glass", "fine2", True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty, 0 bytes"),
        ("image\tmask\na\tb\n", 'no column "name"'),
        ("name\n", "no rows"),
        ("name\ngone\n", "line 2: no images/gone"),
        ("name\timage\nx\tgone.png\n", "line 2: .*gone.png: no such file"),
        ("name\n \n", "the name is ''"),
        ("name\n../../a\n", "expected one that can name a file"),
    ],
)
def test_a_table_that_is_wrong_is_refused(tmp_path, text, told):
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(TrainingError, match=told):
        read_table(tmp_path / "t.tsv")


@pytest.mark.parametrize(("mpp", "yes"), [("-1", "yes"), ("wide", "yes"), ("nan", "yes"), ("1", "maybe")])
def test_a_field_that_is_wrong_is_refused_with_its_line(tmp_path, mpp, yes):
    write_section(tmp_path, "a", 100, 100)
    with pytest.raises(TrainingError, match="line 2"):
        read_table(table(tmp_path, f"a\t{mpp}\ttrain\tp\t\t{yes}\t"))


def test_a_patch_set_holds_every_power_that_a_slide_allows(sections, tmp_path):
    counts = build_patch_set(read_table(sections), tmp_path / "p.h5", (1.25, 2.5, 5.0, 10.0), Stages())
    # fine: 275 x 175 and 550 x 350 and 1100 x 700 px; coarse once, as it is; fine2: 260 x 150 and 520 x 300.
    assert counts == {1.25: 3, 2.5: 2 + 2, 5.0: 3 * 2}
    with open_patch_set(tmp_path / "p.h5") as patches:
        coarse = [patch for patch in patches.patches if patches.sources[patch.source].name == "coarse"]
        assert [patch.power for patch in coarse] == [1.25]
        assert not patches.sources[coarse[0].source].may_train
        pixels, labels = patches.read(coarse[0])
    assert np.array_equal(pixels[:200, :300], tiffs.picture(300, 200))
    assert (labels[200:] == IGNORED).all()
    assert (labels[:, 300:] == IGNORED).all()
    assert (labels[:200, 270:300] == IGNORED).all()
    assert labels[100, 150] == TISSUE
    assert [path.name for path in tmp_path.glob("*.h5*")] == ["p.h5"]


def test_labels_follow_the_scale(sections):
    truth = open_truth(read_table(sections)[0])
    scale = choose_scale(truth.slide.info, 8.0)
    assert scale.factor == 4
    labels = truth.at(scale, Region(0, 0, scale.size.width, scale.size.height))
    assert labels.shape == (175, 275)
    assert labels[87, 137] == TISSUE
    assert labels[0, 0] == GLASS
    assert labels[87, 270] == IGNORED
    disc = (truth.labels == TISSUE).sum() / 16
    assert (labels == TISSUE).sum() == pytest.approx(disc, rel=0.01)


@pytest.mark.parametrize(("mask_px", "mpp"), [((275, 175), 4.6), ((137, 87), 2.0), ((2200, 1400), 5.1)])
def test_labels_of_a_part_are_those_of_the_whole(sections, mask_px, mpp):
    row = read_table(sections)[0]
    labels = np.asarray(Image.open(row.mask).resize(mask_px, Image.Resampling.NEAREST))
    with closing(open_picture(row.image, 2.0)) as slide:
        truth, scale = Truth(slide, labels), choose_scale(slide.info, mpp)
        whole = truth.at(scale, Region(0, 0, scale.size.width, scale.size.height))
        part = truth.at(scale, Region(61, 33, 90, 70))
    assert np.array_equal(part, whole[33:103, 61:151])
    assert 0.1 < (whole == TISSUE).mean() < 0.9


def test_a_mask_that_does_not_fit_is_refused(sections, tmp_path):
    Image.fromarray(np.zeros((50, 50), np.uint8)).save(tmp_path / "masks/fine.png")
    with pytest.raises(MaskError, match="proportions"):
        build_patch_set(read_table(sections), tmp_path / "p.h5", (2.5,), Stages())
    assert not list(tmp_path.glob("*.h5*"))


def test_labels_that_never_score_make_no_patch_set(tmp_path):
    labels = write_section(tmp_path, "a", 200, 200)
    Image.fromarray(np.full_like(labels, IGNORED)).save(tmp_path / "masks/a.png")
    with pytest.raises(TrainingError, match="not one patch"):
        build_patch_set(read_table(table(tmp_path, "a\t4\t\t\t\t\t")), tmp_path / "p.h5", (2.5,), Stages())
    assert not list(tmp_path.glob("*.h5*"))


def test_what_is_no_patch_set_is_refused(tmp_path):
    import h5py

    (tmp_path / "junk.h5").write_bytes(b"junk")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    for name, told in (
        ("junk.h5", "patch set"),
        ("other.h5", "patch set"),
        ("gone.h5", "gone.h5: no such file"),
    ):
        with pytest.raises(TrainingError, match=told), open_patch_set(tmp_path / name):
            pass


def test_drawn_slides_come_with_their_masks(tmp_path):
    path = draw_labelled_slides(tmp_path / "drawn", 2, 1024, 100, Stages())
    rows = read_table(path)
    assert [row.name for row in rows] == ["drawn-100", "drawn-101"]
    counts = build_patch_set(rows, tmp_path / "p.h5", (5.0, 10.0), Stages())
    assert counts == {5.0: 2, 10.0: 2}
    with pytest.raises(OSError, match="is not empty"):
        draw_labelled_slides(tmp_path / "drawn", 1, 1024, 1, Stages())


def of_another_kind(file):
    file.attrs["format"] = "other"


def without_patches(file):
    del file["patch"]


def without_a_name(file):
    del file["source/name"]


def with_short_names(file):
    names = file["source/name"][:1]
    del file["source/name"]
    file["source/name"] = names


def of_another_depth(file):
    shape = file["label"].shape
    del file["label"]
    file.create_dataset("label", shape, np.uint16)


def of_far_more_than_there_is(file):
    for name in ("image", "label", "patch"):
        part = file[name]
        shape, dtype = (10**12, *part.shape[1:]), part.dtype
        del file[name]
        file.create_dataset(name, shape, dtype, chunks=(1, *shape[1:]))


def in_the_dark(file):
    file["source/light"][...] = np.nan


def with_a_source_that_is_not_there(file):
    records = file["patch"][:]
    records["source"] = 9
    file["patch"][:] = records


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (of_another_kind, "not a patch set"),
        (without_patches, "cannot be read as a patch set"),
        (without_a_name, "cannot be read as a patch set"),
        (with_short_names, "cannot be read as a patch set"),
        (of_another_depth, "patches that are no bytes"),
        (of_far_more_than_there_is, "more than the file can hold"),
        (in_the_dark, "light is no colour"),
        (with_a_source_that_is_not_there, "names a source that is not listed"),
    ],
)
def test_a_patch_set_that_is_not_whole_is_refused(sections, tmp_path, change, told):
    build_patch_set(read_table(sections), tmp_path / "p.h5", (2.5,), Stages())
    with h5py.File(tmp_path / "p.h5", "r+") as file:
        change(file)
    with pytest.raises(TrainingError, match=told), open_patch_set(tmp_path / "p.h5"):
        pass


def test_a_damaged_patch_is_named(sections, tmp_path):
    build_patch_set(read_table(sections), tmp_path / "p.h5", (2.5,), Stages())
    with h5py.File(tmp_path / "p.h5", "r") as file:
        stored = file["image"].id.get_chunk_info(0)
    with (tmp_path / "p.h5").open("r+b") as data:
        data.seek(stored.byte_offset)
        data.write(bytes(stored.size))
    with (
        open_patch_set(tmp_path / "p.h5") as patches,
        pytest.raises(TrainingError, match="patch 0: is damaged"),
    ):
        patches.read(patches.patches[0])
