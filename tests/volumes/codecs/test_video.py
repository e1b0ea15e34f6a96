"""Slices come back from a video: every one exactly, or close to it, and FFmpeg plays it."""

import io
import resource
from collections.abc import Sequence

import av
import numpy as np
import pytest

from tests.volumes.codecs.test_planes import drawn, psnr_db
from wsicomp.errors import ConfigError, VerificationError, VolumeReadError
from wsicomp.volumes.codecs import video
from wsicomp.volumes.codecs.base import SamplePlane
from wsicomp.volumes.codecs.video import VideoCodec

SHAPES = [(1, 1), (33, 47), (130, 32), (64, 64), (70, 64), (96, 131)]


def slab(shape: tuple[int, int], bits: int, count: int = 4) -> list[SamplePlane]:
    return [drawn(shape, bits, seed) for seed in range(count)]


def equal(found: Sequence[SamplePlane], expected: Sequence[SamplePlane]) -> bool:
    return len(found) == len(expected) and all(
        one.dtype == other.dtype and np.array_equal(one, other)
        for one, other in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("intra", [False, True])
@pytest.mark.parametrize("bits", [1, 8, 9, 12])
def test_hevc_without_loss_returns_every_sample(bits: int, intra: bool) -> None:
    for shape in SHAPES:
        planes = slab(shape, bits)
        codec = VideoCodec(intra=intra, preset="fast")
        assert codec.lossless
        assert equal(list(codec.decode(codec.encode(planes, shape, bits), shape, 4, bits)), planes), shape


def test_hevc_is_lossless_at_its_slowest() -> None:
    planes = [np.roll(drawn((72, 80), 12), step, 1) // (1 + step) for step in range(6)]
    codec = VideoCodec(preset="veryslow")
    assert equal(list(codec.decode(codec.encode(planes, (72, 80), 12), (72, 80), 6, 12)), planes)


@pytest.mark.parametrize("bits", [1, 8, 10, 12, 13, 16])
def test_ffv1_returns_every_sample(bits: int) -> None:
    for shape in SHAPES:
        planes = slab(shape, bits)
        codec = VideoCodec("ffv1")
        assert equal(list(codec.decode(codec.encode(planes, shape, bits), shape, 4, bits)), planes), shape


@pytest.mark.parametrize("shape", [(34, 48), (48, 48), (96, 128)])
def test_a_rate_factor_loses_little_or_much(shape: tuple[int, int]) -> None:
    planes = slab(shape, 12)
    sizes, qualities = [], []
    for crf in (10, 40):
        codec = VideoCodec(crf=crf)
        data = codec.encode(planes, shape, 12)
        back = list(codec.decode(data, shape, 4, 12))
        sizes.append(len(data))
        qualities.append(min(psnr_db(one, other, 12) for one, other in zip(back, planes, strict=True)))
        assert max(int(one.max()) for one in back) < 1 << 12
    assert sizes[1] < sizes[0]
    assert qualities[0] > 38
    assert qualities[1] > 20


def test_ffmpeg_plays_it_as_full_range_grey() -> None:
    planes = slab((70, 90), 12)
    with av.open(io.BytesIO(VideoCodec().encode(planes, (70, 90), 12))) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.codec_context.color_range) == (
            "hevc",
            "gray12le",
            2,
        )
        frames = [frame.to_ndarray(format="gray12le") for frame in container.decode(stream)]
    assert equal(frames, planes)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    codec = VideoCodec(crf=30)
    list(codec.decode(codec.encode(slab((64, 64), 8), (64, 64), 8), (64, 64), 4, 8))
    assert capfd.readouterr() == ("", "")


def test_a_video_that_lost_something_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_SAFE", "qp=20:log-level=none:lossless=0")
    with pytest.raises(VerificationError, match="lost something with the preset medium"):
        VideoCodec().encode(slab((64, 64), 8), (64, 64), 8)


def test_a_larger_video_than_was_planned_is_refused_before_memory_is_taken() -> None:
    codec = VideoCodec(crf=40, preset="ultrafast")
    data = codec.encode([np.zeros((3000, 3000), np.uint16)] * 2, (3000, 3000), 12)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    small = codec.encode([np.zeros((64, 64), np.uint16)] * 2, (64, 64), 12)
    with pytest.raises(
        VolumeReadError, match="a video of hevc and 3000 x 3000 px, expected hevc and 64 x 64"
    ):
        list(codec.decode(data, (64, 64), 2, 12))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
    for count, found in ((1, "more than 1 frames"), (3, "of 2 frames, expected 3")):
        with pytest.raises(VolumeReadError, match=found):
            list(codec.decode(small, (64, 64), count, 12))
    with pytest.raises(VolumeReadError, match="gray12le, expected 64 x 64 gray"):
        list(codec.decode(small, (64, 64), 2, 8))
    for data in (b"", b"no video"):
        with pytest.raises(VolumeReadError, match="damaged"):
            list(codec.decode(data, (64, 64), 2, 12))


def test_what_a_video_cannot_do_is_said() -> None:
    with pytest.raises(ConfigError, match="did you mean hevc"):
        VideoCodec("heve")
    with pytest.raises(ConfigError, match="expected 0 to 51"):
        VideoCodec(crf=52)
    with pytest.raises(ConfigError, match="did you mean slower"):
        VideoCodec(preset="slowr")
    with pytest.raises(ConfigError, match="ffv1 is always lossless"):
        VideoCodec("ffv1", crf=3)
    with pytest.raises(ConfigError, match="up to 12 bits a voxel, and these have 13"):
        VideoCodec().encode(slab((64, 64), 13), (64, 64), 13)
