"""Label images and probability maps: PNG, TIFF, OME-TIFF and .npy, by rows and never whole."""

import io
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.regions.slides import info, table, tiles_under
from wsicomp import MaskError
from wsicomp.geometry import Size
from wsicomp.regions import reduction
from wsicomp.regions.png_rows import png_rows
from wsicomp.regions.reader import read_regions
from wsicomp.regions.reading import RegionReading

LABELS = np.zeros((60, 100), np.uint8)
LABELS[5:9, 7:11] = 3
LABELS[30:50, 60:90] = 12


def written(path, array, **options):
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".png":
        Image.fromarray(array).save(path, **options)
    else:
        tifffile.imwrite(path, array, **options)
    return path


def pixels_of(regions):
    return {each.name: each.mask.pixels for each in regions.classes}


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2"])
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".png", {}),
        (".npy", {}),
        (".tif", {}),
        (".tif", {"compression": "zlib", "rowsperstrip": 7}),
        (".tiff", {"tile": (16, 32), "compression": "zlib", "predictor": True}),
        (".tif", {"tile": (16, 16), "byteorder": ">"}),
        (".tif", {"bigtiff": True, "compression": "lzw"}),
        (".tif", {"compression": "lzw", "predictor": True, "tile": (16, 48), "byteorder": ">"}),
        (".tif", {"compression": "zstd", "rowsperstrip": 13}),
        (".tif", {"photometric": "rgb"}),
    ],
)
def test_each_value_of_a_label_image_is_a_class(tmp_path, suffix, options, dtype):
    labels = LABELS.astype(dtype)
    if suffix == ".png" and dtype == ">u2":
        labels = labels.astype("u2")
    if options.get("photometric"):
        labels = np.repeat(labels[..., None], 3, axis=2)
    found = pixels_of(read_regions(written(tmp_path / f"a{suffix}", labels, **options), info()))
    assert list(found) == ["label 3", "label 12"]
    assert (found["label 3"] == (LABELS == 3)).all()
    assert (found["label 12"] == (LABELS == 12)).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("mode", ["L", "P"])
def test_png_of_few_bits_is_read(tmp_path, bits, mode):
    values = np.random.default_rng(2).integers(0, 1 << bits, (60, 101)).astype(np.uint8)
    image = Image.fromarray(values, "P")
    image.putpalette(bytes(range(256)) * 3)
    if mode == "L":
        Image.fromarray(values.astype(bool)).save(tmp_path / "a.png")
        values = values.astype(bool).astype(np.uint8)
    else:
        image.save(tmp_path / "a.png", bits=bits)
    found = pixels_of(read_regions(tmp_path / "a.png", info(Size(1010, 600))))
    if mode == "L":
        assert list(found) == ["region"]
        assert (found["region"] == (values == 1)).all()
    else:
        assert set(found) == {f"label {value}" for value in range(1, 1 << bits)}
        assert all((found[f"label {value}"] == (values == value)).all() for value in range(1, 1 << bits))


@settings(max_examples=30)
@given(
    st.integers(0, 2**32),
    st.sampled_from(["L", "LA", "RGB", "RGBA", "I;16"]),
    st.integers(1, 70),
    st.integers(1, 40),
)
def test_png_rows_are_those_of_pillow(seed, mode, width, height):
    rng, samples = np.random.default_rng(seed), {"LA": 2, "RGB": 3, "RGBA": 4}.get(mode, 1)
    smooth = np.cumsum(rng.integers(-2, 3, (height, width)), axis=1) + 100
    values = smooth.astype(np.uint16 if mode == "I;16" else np.uint8)
    stored = values if samples == 1 else np.repeat(values[..., None], samples, axis=2)
    file = io.BytesIO()
    Image.fromarray(stored, mode).save(file, "PNG")
    file.seek(0)
    from pathlib import Path

    import wsicomp.regions.png_rows as module

    strip_bytes, module._STRIP_BYTES = module._STRIP_BYTES, 100
    try:
        rows, _ = png_rows(file, Path("a.png"))
        parts = [rows.rows(top, min(top + 3, height)) for top in range(0, height, 3)]
    finally:
        module._STRIP_BYTES = strip_bytes
    assert (np.concatenate(parts) == values).all()


def test_a_table_names_the_values(tmp_path):
    codecs = table(
        tmp_path / "t.toml",
        '[classes]\nTumor = "copy"\nStroma = "jpeg:80"\n[values]\nTumor = [12, 13]\nStroma = 3\n',
    )
    regions = read_regions(written(tmp_path / "a.png", LABELS), info(), RegionReading(classes=codecs))
    assert [(each.name, each.codec) for each in regions.classes] == [("Tumor", "copy"), ("Stroma", "jpeg:80")]
    with pytest.raises(MaskError, match=r"'label 4' not in the table of classes"):
        read_regions(written(tmp_path / "a.png", LABELS + 1), info(), RegionReading(classes=codecs))


def test_an_image_of_objects_is_one_class_by_a_table(tmp_path):
    objects = np.arange(6000, dtype=np.uint32).reshape(60, 100) * 50
    path = written(tmp_path / "a.npy", objects)
    with pytest.raises(MaskError, match=r"label \d+, expected at most 65535"):
        read_regions(path, info())
    with pytest.raises(MaskError, match=r"over 254 labels; name them"):
        read_regions(written(tmp_path / "b.npy", objects // 50), info())
    others = table(tmp_path / "t.toml", '[classes]\n"*" = "copy"\n')
    found = pixels_of(read_regions(path, info(), RegionReading(classes=others)))
    assert list(found) == ["other"]
    assert (found["other"] == (objects > 0)).all()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1", "u2"])
@pytest.mark.parametrize("suffix", [".npy", ".tif", ".png"])
def test_a_map_of_probabilities_is_a_region_from_its_threshold_on(tmp_path, dtype, suffix):
    if suffix == ".png" and dtype.startswith("f"):
        return
    map_ = np.tile(np.linspace(0, 1, 100), (60, 1))
    map_ = map_.astype(dtype) if dtype.startswith("f") else (map_ * np.iinfo(dtype).max).astype(dtype)
    path = written(tmp_path / f"a{suffix}", map_)
    whole = map_ / (1 if dtype.startswith("f") else np.iinfo(dtype).max)
    found = pixels_of(read_regions(path, info(), RegionReading(threshold=0.7)))
    assert (found["region"] == (whole >= 0.7)).all()
    if dtype.startswith("f"):
        assert (pixels_of(read_regions(path, info()))["region"] == (whole >= 0.5)).all()


def test_thresholds_and_ramps_make_classes_from_the_most_probable_on(tmp_path):
    map_ = np.tile(np.linspace(0, 1, 100, dtype=np.float32), (60, 1))
    path = written(tmp_path / "a.npy", map_)
    two = table(
        tmp_path / "t.toml",
        '[classes]\nsure = "copy"\nlikely = "jpeg:80"\n[thresholds]\nlikely = 0.5\nsure = 0.9\n',
    )
    found = pixels_of(read_regions(path, info(), RegionReading(classes=two)))
    assert (found["sure"] == (map_ >= np.float32(0.9))).all()
    assert (found["likely"] == ((map_ >= 0.5) & (map_ < np.float32(0.9)))).all()
    ramp = table(
        tmp_path / "r.toml",
        '[ramp]\ncodec = "jpeg:{}"\nquality = [90, 40]\nprobability = [0.9, 0.3]\nsteps = 3\n',
    )
    regions = read_regions(path, info(), RegionReading(classes=ramp))
    assert [(each.name, each.codec) for each in regions.classes] == [
        ("probability 0.9", "jpeg:90"),
        ("probability 0.6", "jpeg:65"),
        ("probability 0.3", "jpeg:40"),
    ]
    assert regions.of_tiles(info().levels[0])[0].tolist() == [0] * 4 + [3] * 5 + [2] * 5 + [1] * 2


def test_a_large_image_is_reduced_so_that_no_pixel_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr("wsicomp.regions.placement.MOST_RASTER_PX", 500)
    monkeypatch.setattr("wsicomp.regions.reduction._STRIP_PX", 700)
    labels = (np.random.default_rng(3).random((60, 100)) < 0.004).astype(np.uint8)
    mask = read_regions(written(tmp_path / "a.tif", labels, tile=(16, 16)), info()).classes[0].mask
    assert mask.shape == (15, 25)
    assert (mask.pixels == labels.reshape(15, 4, 25, 4).any(axis=(1, 3))).all()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_an_image_of_a_gigapixel_takes_little_memory(tmp_path, suffix):
    side = 12_000
    if suffix == ".png":
        row = b"\0" + bytes(side)
        marked = b"\0" + bytes(side - 5) + b"\7" * 5
        data = zlib.compress(row * (side - 1) + marked, 1)
        write_png(tmp_path / "a.png", side, side, data)
    else:
        labels = np.zeros((side, side), np.uint8)
        labels[-1, -5:] = 7
        written(
            tmp_path / f"a{suffix}",
            labels,
            **({"tile": (512, 512), "compression": "zlib"} if suffix == ".tif" else {}),
        )
        del labels
    tracemalloc.start()
    regions = read_regions(tmp_path / f"a{suffix}", info(Size(side * 2, side * 2)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert regions.classes[0].name == "label 7"
    assert regions.classes[0].mask.pixels.sum() == 3  # 5 x 1 px, in blocks of 2
    assert most < 100_000_000


def write_png(path, width, height, packed, colour=0, depth=8, interlace=0):
    import struct

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in ((b"IHDR", head), (b"IDAT", packed), (b"IEND", b""))
        )
    )
    return path


def ome(path, labels, mpp, unit="µm", **options):
    scale = {"axes": "YX", "PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
    scale |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(labels, subifds=2, metadata=scale, tile=(16, 16), photometric="minisblack", **options)
        for by in (2, 4):
            tiff.write(labels[::by, ::by], subfiletype=1, tile=(16, 16), photometric="minisblack")
    return path


def test_the_largest_level_of_an_ome_tiff_is_taken(tmp_path):
    found = pixels_of(read_regions(ome(tmp_path / "a.ome.tif", LABELS, 5.0), info()))
    assert (found["label 12"] == (LABELS == 12)).all()
    found = pixels_of(read_regions(ome(tmp_path / "a.ome.tif", LABELS, 5000, "nm"), info()))
    assert (found["label 3"] == (LABELS == 3)).all()


def test_an_ome_tiff_of_a_part_is_placed_by_its_own_um(tmp_path):
    path = ome(tmp_path / "a.ome.tif", np.ones((12, 20), np.uint8), 2.0)
    with pytest.raises(MaskError, match=r"states 2 um per px, expected 25 .*roi_offset"):
        read_regions(path, info())
    regions = read_regions(path, info(), RegionReading(offset=(64, 128)))
    assert np.argwhere(regions.of_tiles(info().levels[0])).tolist() == [[2, 1], [2, 2]]
    wrong = read_regions(path, info(), RegionReading(offset=(64, 128), mpp=0.5))
    assert np.argwhere(wrong.of_tiles(info().levels[0])).tolist() == [[2, 1]]


def test_labels_at_another_scale_lie_where_they_do_pixel_by_pixel(tmp_path):
    path = written(tmp_path / "a.png", LABELS)
    regions = read_regions(path, info(Size(1000, 600)))
    for number, value in enumerate((3, 12), 1):
        expected = tiles_under(value == LABELS, Size(1000, 600), info().levels[0])
        assert ((regions.of_tiles(info().levels[0]) == number) == expected).all()


def damaged(path, at, by=b"\xff\x00\xff\x13"):
    data = bytearray(path.read_bytes())
    data[at : at + len(by)] = by
    path.write_bytes(data)
    return path


def cut(path, part=0.6):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


NOISE = np.random.default_rng(4).integers(0, 4, (600, 1000)).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("a.png", lambda p: p.write_bytes(b"not a picture"), "not a PNG file"),
        ("a.png", lambda p: cut(written(p, NOISE)), r"ends after \d+ of 600 rows"),
        ("a.png", lambda p: damaged(written(p, NOISE), 5000), "damaged PNG"),
        ("a.png", lambda p: damaged(written(p, NOISE), 18), "damaged header"),
        (
            "a.png",
            lambda p: write_png(p, 1000, 600, zlib.compress(bytes(1001 * 600)), interlace=1),
            "interlaced",
        ),
        ("a.png", lambda p: write_png(p, 1000, 600, zlib.compress(b"\x09" * 1001 * 600)), "damaged PNG"),
        ("a.png", lambda p: write_png(p, 1 << 30, 600 << 20, zlib.compress(bytes(1000))), "a row of"),
        ("a.png", lambda p: write_png(p, 100_000, 100_000, zlib.compress(bytes(1000))), "at most 8589934592"),
        (
            "a.png",
            lambda p: written(p, np.random.default_rng(1).integers(0, 9, (60, 100, 3)).astype("u1")),
            "colours",
        ),
        ("a.png", lambda p: written(p, np.zeros((60, 100), np.uint8)), "no region"),
        ("a.png", lambda p: written(p, np.ones((60, 60), np.uint8)), "proportions"),
        ("a.tif", lambda p: p.write_bytes(b"not a picture"), "not regions"),
        ("a.tif", lambda p: cut(written(p, NOISE)), "not regions"),
        (
            "a.tif",
            lambda p: cut(written(p, NOISE, compression="zlib", rowsperstrip=32)),
            "damaged TIFF|states",
        ),
        ("a.tif", lambda p: damaged(written(p, NOISE, compression="zlib"), 3000), "damaged TIFF"),
        (
            "a.tif",
            lambda p: written(p, np.ones((3, 60, 100), np.uint8), photometric="minisblack"),
            "3 pictures",
        ),
        ("a.tif", lambda p: written(p, NOISE, compression="jpeg"), "stored as JPEG, which changes them"),
        (
            "a.tif",
            lambda p: written(p, NOISE, compression="packbits"),
            "TIFF compression 32773; save it with",
        ),
        ("a.tif", lambda p: damaged(written(p, NOISE, compression="lzw"), 400), "damaged TIFF"),
        ("a.tif", lambda p: written(p, np.full((60, 100), np.nan, "f4")), "NaN"),
        ("a.npy", lambda p: p.write_bytes(b"\x93NUMPY\x01\x00"), "not an array"),
        ("a.npy", lambda p: p.write_bytes(b"\x93NUMPY\x01\x00\x04\x00{((\n"), "not an array"),
        ("a.npy", lambda p: np.save(p, np.array([{}, 2], object), allow_pickle=True), "without objects"),
        ("a.npy", lambda p: cut(written(p, NOISE)), "not an array"),
        ("a.npy", lambda p: written(p, np.ones((60, 100), complex)), "samples of type complex128"),
        ("a.npy", lambda p: written(p, np.full((60, 100), -1, "i4")), "label -1"),
        ("a.jpg", lambda p: p.write_bytes(b"x"), "its name ends in '.jpg'"),
        ("a.npy", lambda p: None, "no such file"),
    ],
)
def test_pictures_that_are_damaged_or_do_not_fit_are_refused(tmp_path, name, make, told):
    make(tmp_path / name)
    with pytest.raises(MaskError, match=told) as caught:
        read_regions(tmp_path / name, info())
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / name))


def test_a_strip_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path):
    path = written(tmp_path / "a.tif", np.zeros((600, 1000), np.uint8), compression="zlib", rowsperstrip=600)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        at = path.stat().st_size
        bomb = zlib.compress(bytes(300_000_000), 9)
        tiff.pages.first.tags[273].overwrite(at)
        tiff.pages.first.tags[279].overwrite(len(bomb))
    with path.open("ab") as file:
        file.write(bomb)
    tracemalloc.start()
    with pytest.raises(MaskError):
        read_regions(path, info())
    assert tracemalloc.get_traced_memory()[1] < 100_000_000
    tracemalloc.stop()


def test_so_many_classes_that_their_rasters_fill_the_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reduction, "MOST_RASTER_BITS", 2 * LABELS.size)
    assert len(read_regions(written(tmp_path / "two.png", LABELS), info()).classes) == 2
    labels = LABELS.copy()
    labels[0, 0] = 4
    with pytest.raises(MaskError, match="3 classes or more in 100 x 60 px, expected at most 2; join some"):
        read_regions(written(tmp_path / "three.png", labels), info())
