"""Damaged planes and videos are an error, or planes of the right form: no crash, no hang, no other exception.

A digest in the file finds samples that are merely wrong; decoders cannot.
"""

import multiprocessing
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from tests.volumes.codecs.damages import damaged
from tests.volumes.codecs.test_planes import drawn
from wsicomp.errors import VolumeReadError
from wsicomp.volumes.codecs.base import PlaneCodec, SamplePlane, plane_dtype
from wsicomp.volumes.codecs.registry import PLANE_CODECS, plane_codec
from wsicomp.volumes.codecs.video import VideoCodec

SHAPE, FRAMES = (70, 90), 3
CODECS: dict[str, PlaneCodec | VideoCodec] = {
    **{name: plane_codec(name) for name, info in PLANE_CODECS.items() if info.is_lossless},
    **{f"{name} with loss": plane_codec(name, 20) for name, info in PLANE_CODECS.items() if info.quality},
    "hevc": VideoCodec(preset="ultrafast"),
    "hevc with loss": VideoCodec(crf=30, preset="ultrafast"),
    "ffv1": VideoCodec("ffv1"),
}
DEPTHS = (8, 12, 16)
_MOST_KB, _MOST_ADDED, _MOST_CPU_S = 64 << 10, 2 << 30, 100


def encoded(codec: PlaneCodec | VideoCodec, bits: int) -> bytes:
    planes = [drawn(SHAPE, bits, seed) for seed in range(FRAMES)]
    return (
        codec.encode(planes, SHAPE, bits) if isinstance(codec, VideoCodec) else codec.encode(planes[0], bits)
    )


def decoded(codec: PlaneCodec | VideoCodec, data: bytes, bits: int) -> list[SamplePlane]:
    if isinstance(codec, VideoCodec):
        return list(codec.decode(data, SHAPE, FRAMES, bits))
    return [codec.decode(data, SHAPE, bits)]


def depths(name: str) -> tuple[int, ...]:
    return {"jpeg with loss": DEPTHS[:1], "hevc": DEPTHS[:2], "hevc with loss": DEPTHS[:2]}.get(name, DEPTHS)


def refusals(name: str, count: int, progress: Path | None = None) -> int:
    """Decode so many damaged encodings, and return how many were refused; `progress` names the last one."""
    codec, refused = CODECS[name], 0
    each = {bits: encoded(codec, bits) for bits in depths(name)}
    for number in range(count):
        bits = depths(name)[number % len(each)]
        data = damaged(each[bits], np.random.default_rng([26, number]))
        if progress:
            progress.write_bytes(data)
        try:
            planes = decoded(codec, data, bits)
        except VolumeReadError:
            refused += 1
            continue
        for plane in planes:
            assert (plane.shape, plane.dtype) == (SHAPE, plane_dtype(bits)), (bits, number)
            assert int(plane.max()) < 1 << bits, (bits, number)
    return refused


@pytest.mark.parametrize("name", CODECS)
def test_damaged_bytes_are_an_error_or_planes_of_the_right_form(name: str) -> None:
    assert refusals(name, 150) > 50


def _bounded(name: str, progress: Path) -> None:
    """Run in a process of its own, which ends if it takes much memory or time."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (held + _MOST_ADDED,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_CPU_S,) * 2)
    refusals(name, 10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusals(name, 1000, progress) > 300
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _MOST_KB


@pytest.mark.slow
@pytest.mark.parametrize("name", CODECS)
def test_a_thousand_damages_neither_crash_nor_hang_nor_take_memory(name: str, tmp_path: Path) -> None:
    progress = tmp_path / "last"
    child = multiprocessing.get_context("spawn").Process(target=_bounded, args=(name, progress))
    child.start()
    child.join()
    assert child.exitcode == 0, f"{name} ended with {child.exitcode} at {progress.read_bytes().hex()}"
