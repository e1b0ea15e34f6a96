"""DICOM in, DICOM out by the command's own road: what is not asked is standard, what cannot be is refused."""

import numpy as np
import pytest
import SimpleITK

from tests.volumes.dicom_drawn import drawn_voxels, write_series
from tests.volumes.test_dicom_series import by_simpleitk
from tests.volumes.test_dicom_target import headers_of, smooth_voxels
from wsicomp.cli import main
from wsicomp.errors import ConfigError
from wsicomp.volumes.compress import compress_volume
from wsicomp.volumes.config import VolumeConfig
from wsicomp.volumes.formats.dicom_codecs import DICOM_CODECS


def seen(folder):
    """(slices, rows, columns) of stored values by SimpleITK."""
    return SimpleITK.GetArrayFromImage(by_simpleitk(folder)) + 1024


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_signed_or_not_a_series_is_written_as_others_read_it_if_no_codec_is_named(tmp_path, dtype):
    voxels = smooth_voxels(dtype)
    source = write_series(tmp_path / "in", voxels)
    report = compress_volume(source, tmp_path / "out")
    assert (report.codec, report.lossless) == ("jpegls", True)
    assert np.array_equal(seen(tmp_path / "out"), voxels)
    assert {each.file_meta.TransferSyntaxUID for each in headers_of(tmp_path / "out")} == {
        DICOM_CODECS["jpegls"].lossless
    }


@pytest.mark.parametrize("codec", ["rle", "deflate", "jpegls", "jpeg2000"])
def test_any_codec_of_dicom_keeps_a_region_exact(tmp_path, codec):
    voxels = smooth_voxels()
    source = write_series(tmp_path / "in", voxels)
    labels = np.zeros_like(voxels)
    labels[1:, 3:9, 4:12] = 1
    write_series(tmp_path / "organ", labels, bits=1, change=lambda h, n: setattr(h, "RescaleIntercept", 0))
    report = compress_volume(source, tmp_path / "out", VolumeConfig(codec=codec, roi=str(tmp_path / "organ")))
    assert (report.inside.voxels, report.inside.changed) == (labels.sum(), 0)
    differs = seen(tmp_path / "out") != voxels
    assert not differs[labels > 0].any()
    assert differs.sum() == report.outside.changed > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": "0,99"}, "`window` is not for DICOM"),
        ({"effort": 3}, "`effort` is not for DICOM"),
        ({"predict": True}, "`predict` is not for DICOM"),
        (
            {"codec": "hevc"},
            "no transfer syntax for hevc; take one of jpegls, jpeg2000, htj2k, jpegxl, rle, deflate, or",
        ),
        ({"rate": 5.0}, "jpegls has no `rate`; leave it out, or name jpeg2000"),
        ({"codec": "rle", "quality": 5.0}, "rle has no `quality`"),
        ({"codec": "htj2k", "quality": 5.0}, "a PSNR of 5 dB where DICOM is written, expected 10 to 200"),
    ],
)
def test_what_dicom_has_no_form_for_is_refused_and_nothing_is_written(tmp_path, options, words):
    source = write_series(tmp_path / "in", drawn_voxels())
    with pytest.raises(ConfigError, match=words) as caught:
        compress_volume(source, tmp_path / "out", VolumeConfig(**options))
    assert str(caught.value).startswith(f"{source}: ")
    assert [each.name for each in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("codec", ["rle", "deflate"])
def test_codecs_of_dicom_alone_are_refused_elsewhere(tmp_path, codec):
    source = write_series(tmp_path / "in", drawn_voxels())
    with pytest.raises(ConfigError, match=f"{codec} is for DICOM that is written as DICOM; name a folder"):
        compress_volume(source, tmp_path / "out.wsiv", VolumeConfig(codec=codec))


@pytest.mark.parametrize("window", ["90000,99999", "0.5,0.7", "-9,-1"])
def test_a_window_without_a_value_is_refused(tmp_path, window, capsys):
    source = write_series(tmp_path / "in", drawn_voxels())
    assert main(["volume", "compress", str(source), str(tmp_path / "out.wsiv"), "--window", window]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"wsicomp: {source}: no voxel has a value in the --window")
    assert err.count("\n") == 1


def test_a_window_may_begin_below_0(tmp_path, capsys):
    source = write_series(tmp_path / "in", drawn_voxels(dtype=np.int16))
    target = tmp_path / "out.wsiv"
    assert main(["volume", "compress", str(source), str(target), "--window", "-500,400"]) == 0
    assert "voxels changed" in capsys.readouterr().out
