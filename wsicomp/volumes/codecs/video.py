"""Slices as the frames of a grey video in Matroska, which FFmpeg and most players open.

HEVC by x265 has loss or not and up to 12 bits; FFV1 is lossless and has up to 16. Threads are the caller's:
every encoder and decoder here uses one.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from wsicomp.errors import CodecUnavailableError, ConfigError, VerificationError, VolumeReadError
from wsicomp.extras import require
from wsicomp.options import did_you_mean
from wsicomp.volumes.codecs.base import SamplePlane, plane_dtype

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
"""x265's names for how long it searches, the fastest first."""
SUFFIX = "mkv"
"""Of a file that holds a video."""
_FORMATS = {
    "hevc": {8: "gray", 10: "gray10le", 12: "gray12le"},
    "ffv1": {8: "gray", 10: "gray10le", 12: "gray12le", 16: "gray16le"},
}
"""The pixel formats of a codec, by the bits of their samples."""
VIDEO_CODECS = tuple(_FORMATS)
"""The names that `VideoCodec` takes."""
_LEAST_PX, _BLOCK_PX = 32, 64
"""x265 takes no narrower frames, and codes them in whole blocks."""
_NARROW_PX = 64
_SAFE = "cutree=0:weightb=0:info=0:pools=1:frame-threads=1:log-level=none"
"""Options of x265 4.1: with `cutree` it writes past its memory where frames are small, with `weightb` (in the
presets slower and veryslow) a lossless video is off by one here and there.
"""
_SMALL_BLOCKS = "ctu=16"
"""For narrow frames: where a frame is one coding block wide, x265 and decoders disagree between frames."""
_WORST_CRF = 51
_FULL_RANGE = 2
_FRAMES_A_SECOND = 25


@dataclass(frozen=True)
class VideoCodec:
    """Encodes slices that follow each other as one video; lossless unless it has a `crf`.

    >>> VideoCodec("hevc", crf=20, intra=True).lossless
    False

    Raises:
        ConfigError: there is no such codec or preset, or the codec has no such option.
        MissingExtraError: PyAV is not installed.
    """

    name: str = "hevc"
    """`hevc` or `ffv1`."""
    crf: float | None = None
    """x265's constant rate factor, 0 to 51, where more is coarser; None for lossless."""
    intra: bool = False
    """Whether every slice is coded by itself. FFV1 knows nothing else."""
    preset: str = "medium"
    """How long x265 searches, one of `PRESETS`."""

    def __post_init__(self) -> None:
        require("volumes", "av")
        if self.name not in _FORMATS:
            near = did_you_mean(self.name, tuple(_FORMATS))
            raise ConfigError(f"no video codec {self.name!r}, expected one of {', '.join(_FORMATS)}{near}")
        if self.preset not in PRESETS:
            near = did_you_mean(self.preset, PRESETS)
            raise ConfigError(
                f"no preset {self.preset!r} of x265, expected one of {', '.join(PRESETS)}{near}"
            )
        if self.crf is not None and not 0 <= self.crf <= _WORST_CRF:
            raise ConfigError(f"a rate factor of {self.crf:g}, expected 0 to {_WORST_CRF}")
        if self.crf is not None and self.name != "hevc":
            raise ConfigError(f"{self.name} is always lossless and has no rate factor; name hevc for one")

    @property
    def lossless(self) -> bool:
        """True if every sample comes back as it was."""
        return self.crf is None

    def encode(self, planes: Iterable[SamplePlane], shape: tuple[int, int], bits: int) -> bytes:
        """Return planes of `shape` (rows, columns), whose samples use so many `bits`, as a Matroska file.

        Planes are padded at their right and lower edges to what the codec takes. A lossless video is decoded
        again and compared.

        Memory: the planes, and the file.

        Raises:
            ConfigError: the codec holds fewer bits.
            VerificationError: a lossless video has lost something.
        """
        depth = self._depth(bits)
        frames = list(planes)
        file = io.BytesIO()
        with _translated_encoder(self.name):
            self._write(frames, shape, depth, file)
        data = file.getvalue()
        if self.lossless:
            back = self.decode(data, shape, len(frames), bits)
            if not all(map(np.array_equal, back, frames)):
                raise VerificationError(
                    f"x265 lost something with the preset {self.preset}; name another preset, or ffv1"
                )
        return data

    def _depth(self, bits: int) -> int:
        for depth in _FORMATS[self.name]:
            if bits <= depth:
                return depth
        most = max(_FORMATS[self.name])
        raise ConfigError(
            f"{self.name} holds up to {most} bits a voxel, and these have {bits}; window them to {most} bits,"
            " or name ffv1 or another codec"
        )

    def _write(
        self, planes: Iterable[SamplePlane], shape: tuple[int, int], depth: int, file: io.BytesIO
    ) -> None:
        import av

        pixels = _FORMATS[self.name][depth]
        height, width = _padded(shape)
        with av.open(file, "w", format="matroska") as container:
            encoder = "libx265" if self.name == "hevc" else self.name
            stream: Any = container.add_stream(encoder, rate=_FRAMES_A_SECOND)
            stream.width, stream.height, stream.pix_fmt = width, height, pixels
            stream.codec_context.color_range = _FULL_RANGE
            stream.codec_context.thread_count = 1
            stream.options = self._options(width)
            for plane in planes:
                frame = av.VideoFrame(width, height, pixels)
                frame.color_range = _FULL_RANGE
                _fill(frame, plane, depth)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    def _options(self, width: int) -> dict[str, str]:
        if self.name == "ffv1":
            return {"level": "3", "coder": "1", "context": "1", "g": "1", "slices": "4", "slicecrc": "1"}
        quality = "lossless=1" if self.crf is None else f"crf={self.crf:g}"
        parts = [quality, f"keyint={1 if self.intra else -1}", "range=full", _SAFE]
        if width <= _NARROW_PX:
            parts.append(_SMALL_BLOCKS)
        return {"preset": self.preset, "x265-params": ":".join(parts)}

    def decode(self, data: bytes, shape: tuple[int, int], count: int, bits: int) -> Iterator[SamplePlane]:
        """Yield `count` planes of `shape` (rows, columns), uint8 up to 8 bits and uint16 above.

        FFmpeg hides most damage to frames and shows what it can: only a digest of the file finds it.

        Memory: a few frames of `shape`, whatever the file states.

        Raises:
            VolumeReadError: the file is damaged, or holds something else.
        """
        pixels = _FORMATS[self.name][self._depth(bits)]
        height, width = _padded(shape)
        found = 0
        with _opened(data, self.name, (height, width)) as (container, stream):
            for frame in container.decode(stream):
                if (frame.height, frame.width, frame.format.name) != (height, width, pixels):
                    raise VolumeReadError(
                        f"a frame of {frame.width} x {frame.height} {frame.format.name},"
                        f" expected {width} x {height} {pixels}"
                    )
                found += 1
                if found > count:
                    raise VolumeReadError(f"a video of more than {count} frames")
                yield _taken(frame, shape, bits)
        if found != count:
            raise VolumeReadError(f"a video of {found} frames, expected {count}")


@contextmanager
def _translated_encoder(name: str) -> Iterator[None]:
    import av

    try:
        yield
    except av.FFmpegError as exc:
        raise CodecUnavailableError(f"{name} cannot encode these slices: {exc}; name another codec") from exc


@contextmanager
def _opened(data: bytes, name: str, padded: tuple[int, int]) -> Iterator[tuple[Any, Any]]:
    """Open a video whose decoder takes no larger frames than these, and translate its errors."""
    import av

    rows, columns = (-(-side // _BLOCK_PX) * _BLOCK_PX for side in padded)
    limits = {"max_pixels": str(rows * columns), "threads": "1"}
    try:
        file = io.BytesIO(data)
        with av.open(file, format="matroska", stream_options=[limits]) as container:  # type: ignore[list-item]
            if len(container.streams) != 1 or len(container.streams.video) != 1:
                raise VolumeReadError("a video file with other streams than one of video")
            stream = container.streams.video[0]
            context = stream.codec_context
            if context.name != name or (context.height, context.width) != padded:
                raise VolumeReadError(
                    f"a video of {context.name} and {context.width} x {context.height} px,"
                    f" expected {name} and {padded[1]} x {padded[0]}"
                )
            context.options = limits
            context.thread_count = 1
            yield container, stream
    except (
        av.FFmpegError,
        ValueError,
        IndexError,
        EOFError,
        RuntimeError,
        MemoryError,
        AttributeError,
    ) as exc:
        raise VolumeReadError(f"{name} cannot decode a video, so the file is damaged: {exc}") from exc


def _padded(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the (rows, columns) of frames: even, and no fewer than x265 takes."""
    rows, columns = (max(_LEAST_PX, side + side % 2) for side in shape)
    return rows, columns


def _fill(frame: Any, plane: SamplePlane, depth: int) -> None:
    """Write a plane into a frame, its last row and column repeated to the edges."""
    target = frame.planes[0]
    samples = plane.astype("<u2" if depth > 8 else np.uint8)
    row = target.line_size // samples.itemsize
    around = ((0, target.height - samples.shape[0]), (0, row - samples.shape[1]))
    target.update(np.pad(samples, around, mode="edge").tobytes())


def _taken(frame: Any, shape: tuple[int, int], bits: int) -> SamplePlane:
    """Return a frame's plane without its padding; what a lossy codec overshot is the greatest sample."""
    source = frame.planes[0]
    samples = np.frombuffer(source, "<u2" if bits > 8 else np.uint8).reshape(source.height, -1)
    cut = np.minimum(samples[: shape[0], : shape[1]], (1 << bits) - 1)
    return np.ascontiguousarray(cut, plane_dtype(bits))
