"""Writing a pyramid so that it is either whole under its name or not there at all.

tifffile lays out the directories; the shared blank tile, the order and count of tiles, the provenance and
the atomic rename are ours. It must not decode a tile or decide anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import tifffile
from tifffile import DATATYPE

from wsicomp.codecs import tile_format
from wsicomp.errors import SlideReadError, SlideWriteError, TargetExistsError
from wsicomp.outputs import partial_path
from wsicomp.pyramid.carried import carried_image
from wsicomp.pyramid.plan import ConversionPlan, LevelPlan, TileAction
from wsicomp.pyramid.provenance import LevelDigest, Provenance
from wsicomp.readers import aperio, xmp
from wsicomp.slide import JPEG, RGB, YCBCR, AssociatedImage, TileEncoding
from wsicomp.version import SOFTWARE

_NODATA_TAG = 42113
_NODATA = b"255\0"
_SUBFILE_TYPES = {"label": 1, "macro": 9, "thumbnail": 0}
_TILE_OFFSETS, _TILE_BYTE_COUNTS = 324, 325


class PyramidWriter:
    """A context manager that writes a hidden partial file and, on `commit`, renames it to the target.

    Leaving the context without `commit` deletes the partial file. A partial file that an interrupted run
    left is overwritten; one that another run still writes is refused.

    Raises:
        TargetExistsError: the target exists and `overwrite` is False, or another run is writing it.
        SlideWriteError: the file system refuses, or a level gets too few or too many tiles.
    """

    def __init__(
        self, target: Path, plan: ConversionPlan, icc_profile: bytes | None, overwrite: bool
    ) -> None:
        self.partial = partial_path(target)
        self._target = target
        self._plan = plan
        self._icc_profile = icc_profile
        self._overwrite = overwrite
        self._digests: list[str] = []
        self._pages: list[LevelPlan | None] = []

    def __enter__(self) -> PyramidWriter:
        self._refuse_existing()
        self._file = _open_locked(self.partial)
        try:
            self._tiff = tifffile.TiffWriter(self._file, bigtiff=self._plan.big)
        except OSError as exc:
            self._discard()
            raise _refused(exc, self.partial) from exc
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._file.closed:
            self._discard()

    def _discard(self) -> None:
        self.partial.unlink(missing_ok=True)
        # Closing tries again to write what a full disk refused, which has been said already.
        with contextlib.suppress(OSError):
            self._file.close()

    def write_level(self, plan: LevelPlan, tiles: Iterable[bytes | None]) -> None:
        """Append a level; its tiles come in raster order, None for the blank one.

        Memory: one tile, and some bytes for each of the level's tiles.

        Raises:
            SlideWriteError: the file system refuses, or the number of tiles is not the plan's.
        """
        first = plan.number == 0
        tags: list[tuple[int, int, int, bytes, bool]] = []
        if first:
            packet = xmp.wrap("{}")
            tags.append((xmp.XMP_TAG, DATATYPE.BYTE, len(packet), packet, True))
        if plan.count(TileAction.EMPTY):
            tags.append((_NODATA_TAG, DATATYPE.ASCII, len(_NODATA), _NODATA, True))
        digest = LevelDigest()
        layout = {
            "shape": (*plan.size.shape, 3),
            "tile": plan.tile.shape,
            "subfiletype": 0 if first or self._plan.container == "svs" else 1,
            "description": self._description(plan).encode("latin-1"),
            "iccprofile": self._icc_profile if first else None,
            "extratags": tags,
            **self._resolution(plan),
        }
        self._write(self._stored(plan, tiles, digest), plan.encoding, layout)
        self._pages.append(plan)
        self._digests.append(digest.hexdigest())

    def write_associated(self, name: str, image: AssociatedImage) -> None:
        """Append a label, macro or thumbnail, its strips as they are.

        Raises:
            SlideWriteError: the file system refuses.
        """
        image = carried_image(name, image, bool(self._plan.config["deidentify"]))
        layout = {
            "shape": (*image.size.shape, 3),
            "rowsperstrip": image.rows_per_strip,
            "subfiletype": _SUBFILE_TYPES[name],
            "description": image.description.encode("latin-1"),
            "iccprofile": image.icc_profile,
        }
        self._write(iter(image.strips), image.encoding, layout)
        self._pages.append(None)

    def finish(self, mask: Mapping[str, Any] | None, properties: Mapping[str, str]) -> None:
        """Point the blank tiles at the stored one, add the provenance, and flush to the disk.

        Raises:
            SlideWriteError: the file system refuses.
        """
        try:
            self._tiff.close()
            self._file.flush()
            provenance = Provenance(self._plan, mask, properties, tuple(self._digests))
            with tifffile.TiffFile(self.partial, mode="r+") as tiff:
                for page, plan in zip(list(tiff.pages), self._pages, strict=True):
                    assert isinstance(page, tifffile.TiffPage)
                    if plan is not None and plan.count(TileAction.BLANK):
                        _share_blank_tile(page, plan)
                tiff.pages.first.tags[xmp.XMP_TAG].overwrite(xmp.wrap(provenance.to_text()))
            os.fsync(self._file.fileno())
        except (OSError, struct.error) as exc:
            raise _refused(exc, self.partial) from exc

    def commit(self) -> None:
        """Give the finished file its name; from here on it is there even if the machine stops.

        Raises:
            TargetExistsError: the target has come into being meanwhile.
            SlideWriteError: the file system refuses.
        """
        self._refuse_existing()
        try:
            self.partial.replace(self._target)
            self._file.close()
            directory = os.open(self._target.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as exc:
            raise _refused(exc, self._target) from exc

    def _refuse_existing(self) -> None:
        if self._target.exists() and not self._overwrite:
            raise TargetExistsError("exists already; choose another name or --overwrite", self._target)

    def _write(self, data: Iterator[bytes], encoding: TileEncoding, layout: dict[str, Any]) -> None:
        if encoding.compression == JPEG:
            layout |= {"subsampling": encoding.subsampling, "jpegtables": encoding.jpeg_tables}
            # Without this tifffile writes Photometric YCbCr whatever it is told.
            layout["compressionargs"] = {"outcolorspace": "rgb" if encoding.photometric == RGB else "ycbcr"}
        try:
            self._tiff.write(
                data,
                dtype=np.uint8,
                photometric=encoding.photometric,
                compression=encoding.compression,
                predictor=encoding.predictor,
                software=SOFTWARE,
                metadata=None,
                **layout,
            )
        except SlideReadError:
            raise
        except (OSError, struct.error, ValueError, TypeError, RuntimeError) as exc:
            raise _refused(exc, self.partial) from exc

    def _stored(self, plan: LevelPlan, tiles: Iterable[bytes | None], digest: LevelDigest) -> Iterator[bytes]:
        """The tiles as tifffile is to store them: the first blank one, none of the later ones."""
        blank = self._blank_tile(plan)
        blank_is_stored = False
        count = 0
        for tile in tiles:
            count += 1
            digest.update(blank if tile is None else tile)
            if tile is None and blank_is_stored:
                yield b""
            else:
                blank_is_stored |= tile is None
                yield blank if tile is None else tile
        if count != plan.grid.count:
            raise SlideWriteError(
                f"{count} tiles, planned {plan.grid.count}", self.partial, f"level {plan.number}"
            )

    def _blank_tile(self, plan: LevelPlan) -> bytes:
        if not plan.count(TileAction.BLANK):
            return b""
        encode = tile_format(plan.encoding.compression).encode_uniform
        try:
            return encode(plan.encoding, plan.tile, self._plan.background)
        except ValueError as exc:
            message = f"no blank tile can be made ({exc}); convert with glass keep, or codec jpeg"
            raise SlideWriteError(message, self.partial, f"level {plan.number}") from exc

    def _description(self, plan: LevelPlan) -> str:
        if self._plan.container == "tiff":
            return f"{SOFTWARE}; provenance as JSON in the XMP packet"
        kind = "YCC" if plan.encoding.photometric == YCBCR else "RGB"
        copied = plan.count(TileAction.COPY) > 0
        coding = "copy" if copied else f"JPEG/{kind} Q={self._plan.config['quality']}"
        text = aperio.LevelText(plan.size, plan.tile, f"{coding} glass={self._plan.config['glass']}")
        return aperio.level_description(self._plan.levels[0].size, text, self._plan.description)

    def _resolution(self, plan: LevelPlan) -> dict[str, Any]:
        if self._plan.mpp is None:
            return {}
        largest = self._plan.levels[0].size
        mpp_x = self._plan.mpp.x * largest.width / plan.size.width
        mpp_y = self._plan.mpp.y * largest.height / plan.size.height
        return {"resolution": (10_000 / mpp_x, 10_000 / mpp_y), "resolutionunit": "CENTIMETER"}


def _share_blank_tile(page: tifffile.TiffPage, plan: LevelPlan) -> None:
    blank = np.flatnonzero(plan.actions.reshape(-1) == TileAction.BLANK.value)
    for code in (_TILE_OFFSETS, _TILE_BYTE_COUNTS):
        tag = page.tags[code]
        values = np.array(tag.value, np.uint64).reshape(-1)
        values[blank] = values[blank[0]]
        tag.overwrite(values.tolist())


def _open_locked(partial: Path) -> BinaryIO:
    """Open the partial file for writing from its start, held against every other process."""
    busy = TargetExistsError("another run is writing it; wait for that one", partial)
    try:
        file = open(partial, "r+b", opener=_create)  # noqa: SIM115
    except OSError as exc:
        raise _refused(exc, partial) from exc
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(file.fileno())
        # A run that ended between our open and our lock has made this very file its target.
        if not os.path.samestat(status, partial.stat()):
            raise busy
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise SlideWriteError("is there already and is not ours; move it away", partial)
        file.truncate(0)
    except SlideWriteError:
        file.close()
        raise
    except (BlockingIOError, FileNotFoundError) as exc:
        file.close()
        raise busy from exc
    except OSError as exc:
        file.close()
        raise _refused(exc, partial) from exc
    return file


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o666)


def _refused(exc: Exception, path: Path) -> SlideWriteError:
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return SlideWriteError(f"cannot be written ({reason}); nothing is left of it", path)
