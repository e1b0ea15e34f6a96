"""Writes a pyramid under its name as a whole, or not at all.

tifffile lays out the directories; shared blank tiles, the order and count of tiles, the provenance and the
atomic rename are done here. Nothing here decodes a tile or decides anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from tifffile import DATATYPE

from wsicomp.codecs.plain import ZSTANDARD
from wsicomp.concurrency.threads import in_background
from wsicomp.errors import SlideReadError, SlideWriteError, WsicompError
from wsicomp.files.atomic import (
    check_absent,
    discard,
    give_name,
    lock_note,
    open_locked,
    partial_path,
    sync_name,
    write_errors,
)
from wsicomp.files.attributes import Attributes, make_private
from wsicomp.files.folders import displayed_path, opened_folder
from wsicomp.files.limits import check_free_space
from wsicomp.files.unfinished import unfinished
from wsicomp.formats.converted.associated_images import carried_image
from wsicomp.formats.converted.output_tile import MadeTile
from wsicomp.formats.converted.source_remainder import Remainder, write_remainder
from wsicomp.formats.converted.tile_digests import image_digest
from wsicomp.formats.converted.written_level import WrittenLevel
from wsicomp.formats.tiff import aperio, xmp
from wsicomp.formats.tiff.associated import associated_image
from wsicomp.formats.tiff.directories import TiffFile, directory_of, link_place
from wsicomp.formats.tiff.tags import MODEL_TAG
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.plan.provenance import Provenance, Restoration
from wsicomp.slide import (
    APERIO_JPEG2000_RGB,
    JPEG,
    JPEGXL,
    NEURAL,
    RGB,
    WEBP,
    YCBCR,
    AssociatedImage,
    TileEncoding,
)
from wsicomp.text.figures import counted
from wsicomp.version import SOFTWARE

_NODATA_TAG = 42113
_NODATA = b"255\0"
_SUBFILE_TYPES = {"label": 1, "macro": 9, "thumbnail": 0}
"""NewSubfileType in an SVS, by which OpenSlide's aperio driver knows the image; in a generic TIFF it is 0."""
_SUBIFDS, _SAMPLE_FORMAT = 330, 339
# tifffile writes neither tag as it is needed here: stand-ins of the same type and count, which sort to the
# same place among the tags, are renamed when all is written.
_AS_SUBIFDS, _AS_SAMPLE_FORMAT = 331, 340
_COMPRESSION = 259
_CHECKED_BYTES = 1 << 24
"""The bytes written between two checks of the free space."""


class PyramidWriter:
    """A context manager that writes a hidden partial file and, on `commit`, renames it to the target.

    Leaving the context without `commit` deletes the partial file. A partial file of an interrupted run is
    overwritten; one that another run is writing is refused. Writing ends where less than `min_free` GB (10^9
    bytes) are left on the disk. Below `root` no folder may be a link; None allows links. The target gets
    mode, owner and time of `alike`, and nobody else can open the partial file; by default they are those of
    the umask, this user and now.

    Raises:
        TargetExistsError: the target exists and `overwrite` is False, or another run is writing it.
        SlideWriteError: the file system refuses, or a level gets too few or too many tiles.
    """

    def __init__(
        self,
        target: Path,
        plan: ConversionPlan,
        icc_profile: bytes | None,
        overwrite: bool,
        model: bytes | None = None,
        min_free: float = 0.0,
        root: Path | None = None,
        alike: Attributes | None = None,
    ) -> None:
        self.partial = partial_path(target)
        """Once it is open, by a path that leads into the folder it was opened in."""
        self._root = root
        self._opened = contextlib.ExitStack()
        self._target = target
        self._plan = plan
        self._icc_profile = icc_profile
        self._overwrite = overwrite
        self._model = model
        self._min_free = min_free
        self._alike = alike
        self._unchecked_bytes = 0
        self._pages: list[WrittenLevel | None] = []
        self._flushed: Future[None] | None = None
        self.note: str | None = None
        """What the user should know of how the partial file is held."""

    def __enter__(self) -> PyramidWriter:
        check_absent(self._target, self._overwrite)
        with self._opened:
            self._file = self._open_partial()
            self._opened.enter_context(unfinished(lambda: discard(self._file, self.partial)))
            try:
                self.note = lock_note(self._file)
                if self._alike is not None:
                    make_private(self._file.fileno())
                self._tiff = tifffile.TiffWriter(self._file, bigtiff=self._plan.big)
            except BaseException as exc:
                self._discard()
                if isinstance(exc, OSError):
                    raise _write_error(exc, self.partial) from exc
                raise
            self._opened = self._opened.pop_all()
        return self

    def _open_partial(self) -> BinaryIO:
        """Return the partial file, open in the folder that is held from now on."""
        with write_errors(self._target):
            self._folder = self._opened.enter_context(opened_folder(self._target.parent, self._root))
        self.partial = self._folder.held / self.partial.name
        self._folder.remove_second_name(self.partial.name, self._target.name)
        return open_locked(self.partial, self._target)

    def __exit__(self, *_: object) -> None:
        with self._opened:
            if not self._file.closed:
                self._discard()

    def _discard(self) -> None:
        discard(self._file, self.partial)
        # Closing tries again to write what a full disk refused, which has been said already.
        with contextlib.suppress(OSError):
            self._file.close()

    def write_level(self, plan: LevelPlan, tiles: Iterable[MadeTile]) -> None:
        """Append a level; `tiles` are in raster order.

        Memory: one tile, and some bytes for each of the level's tiles.

        Raises:
            SlideWriteError: the file system refuses, or the number of tiles is not the plan's.
        """
        first = not self._pages
        tags: list[tuple[int, int, int, bytes | int | tuple[int, ...], bool]] = []
        if first:
            packet = xmp.wrap("{}")
            tags.append((xmp.XMP_TAG, DATATYPE.BYTE, len(packet), packet, True))
        if first and self._model is not None:
            tags.append((MODEL_TAG, DATATYPE.UNDEFINED, len(self._model), self._model, True))
        if plan.count(TileAction.EMPTY):
            tags.append((_NODATA_TAG, DATATYPE.ASCII, len(_NODATA), _NODATA, True))
        if self._states_sample_format:
            tags.append((_AS_SAMPLE_FORMAT, DATATYPE.SHORT, 3, (1, 1, 1), True))
        if first and self._attaches:
            tags.append((_AS_SUBIFDS, DATATYPE.IFD8 if self._plan.big else DATATYPE.IFD, 1, 0, True))
        level = WrittenLevel(plan, self._plan.palette)
        navigable = {level.number for level in self._plan.navigable}
        reduced = not first and self._plan.container == "tiff" and plan.number in navigable
        layout = {
            "shape": (*plan.size.shape, 3),
            "tile": plan.tile.shape,
            "subfiletype": int(reduced),
            "description": self._description(plan).encode("latin-1"),
            "iccprofile": self._icc_profile if first else None,
            "extratags": tags,
            **self._resolution(plan),
        }
        self._write(self._stored(level, tiles), plan.encoding, layout)
        self._pages.append(level)

    @property
    def _states_sample_format(self) -> bool:
        """Whether FAST is to read the file itself: it leaves a level without the tag to OpenSlide.

        TIFF's default is 1. FAST would show WebP, Zstandard and neural tiles as black, and crashes at the
        levels behind an overview; without the tag it leaves the file to OpenSlide, which refuses it, reads
        Zstandard, or shows the overview.
        """
        rgb = any(
            level.encoding.compression == JPEG and level.encoding.photometric == RGB
            for level in self._plan.levels
        )  # whose colours FAST takes for YCbCr, and OpenSlide does not
        encodings = {level.encoding.compression for level in self._plan.levels}
        whole = len(self._plan.navigable) == len(self._plan.levels)
        return (
            self._plan.container == "tiff" and whole and not rgb and not encodings & {NEURAL, WEBP, ZSTANDARD}
        )

    def write_associated(self, name: str, image: AssociatedImage) -> None:
        """Append a label, macro or thumbnail, its strips as they are.

        Raises:
            SlideWriteError: the file system refuses.
        """
        image = carried_image(name, image, self._plan.deidentified)
        layout = {
            "shape": (*image.size.shape, 3),
            "rowsperstrip": image.rows_per_strip,
            "subfiletype": _SUBFILE_TYPES[name] if self._plan.container == "svs" else 0,
            "description": image.description.encode("latin-1"),
            "iccprofile": image.icc_profile,
        }
        self._write(iter(image.strips), image.encoding, layout)
        self._pages.append(None)

    def append(self, remainder: Remainder) -> Restoration:
        """Append, behind all images, what rebuilds the source beside them; return its place.

        Raises:
            SlideReadError: the source cannot be read.
            SlideWriteError: the file system refuses.
        """
        try:
            self._tiff.close()
            self._file.seek(0, os.SEEK_END)
            self._file.flush()
            return write_remainder(self._file, remainder, self._check_room)
        except (SlideReadError, SlideWriteError):
            raise
        except OSError as exc:
            raise _write_error(exc, self.partial) from exc

    def finish(
        self,
        mask: Mapping[str, Any] | None,
        properties: Mapping[str, str],
        restoration: Restoration | None = None,
    ) -> Provenance:
        """Point shared tiles at their stored one, write the provenance, and begin to flush to the disk.

        Raises:
            SlideWriteError: the file system refuses.
        """
        try:
            self._tiff.close()
            self._file.seek(0)
            levels = sorted((page for page in self._pages if page), key=lambda level: level.plan.number)
            with tifffile.TiffFile(self._file) as tiff:
                pages = [page for page in tiff.pages if isinstance(page, tifffile.TiffPage)]
                for page, written in zip(pages, self._pages, strict=True):
                    if _AS_SAMPLE_FORMAT in page.tags:
                        _rename(tiff, page.tags[_AS_SAMPLE_FORMAT], _SAMPLE_FORMAT)
                    if written is not None:
                        written.share(page)
                    if written is not None and not _is_known(written.plan.encoding.compression):
                        page.tags[_COMPRESSION].overwrite(written.plan.encoding.compression)
                if self._attaches:
                    images = self._pages.index(None)
                    _attach(tiff, pages[:images], pages[images])
                self._file.flush()
                renewed = sum(len(level.renewed) for level in levels)
                provenance = Provenance(
                    replace(
                        self._plan,
                        levels=tuple(level.made() for level in levels),
                        notes=(*self._plan.notes, *_renewed_note(renewed)),
                    ),
                    mask,
                    properties,
                    tuple(level.record() for level in levels),
                    hashlib.sha256(self._icc_profile or b"").hexdigest(),
                    self._image_sha256(pages),
                    restoration,
                )
                tiff.pages.first.tags[xmp.XMP_TAG].overwrite(xmp.wrap(provenance.to_text()))
            self._file.flush()
            self._flushed = in_background(partial(_flush, os.dup(self._file.fileno())))
        except (OSError, struct.error) as exc:
            raise _write_error(exc, self.partial) from exc
        return provenance

    def _image_sha256(self, pages: Sequence[tifffile.TiffPage]) -> dict[str, str]:
        """Return the digests of the associated images as a reader finds them."""
        with contextlib.closing(TiffFile(self.partial)) as file:
            found = {
                name: associated_image(file, directory_of(page, file.bytes))
                for name, page in zip(self._plan.directories, pages, strict=True)
                if isinstance(name, str)
            }
        return {name: image_digest(image) for name, image in found.items() if image is not None}

    @property
    def _attaches(self) -> bool:
        """Whether associated images are attached to the first level, and not in the chain of levels."""
        return self._plan.container == "tiff" and bool(self._plan.images)

    def commit(self) -> None:
        """Give the finished file its name once it is flushed; it is there then even if the machine stops.

        Raises:
            TargetExistsError: the target has been created meanwhile, or another run is writing it.
            SlideWriteError: the file system refuses, which leaves the target as it was; or the disk does not
                confirm the name.
        """
        assert self._flushed is not None, "it is finished"
        try:
            self._flushed.result()
        except OSError as exc:
            raise _write_error(exc, self.partial) from exc
        try:
            if self._alike is not None:
                self._alike.give(self._file.fileno())
            give_name(self._file, self.partial, self._folder, self._target, self._overwrite)
        except WsicompError:
            raise
        except OSError as exc:
            is_old = self._target.exists()
            message = f"cannot get its name ({exc.strerror or exc}); "
            message += "what was there before still is" if is_old else "nothing is left of it"
            raise SlideWriteError(message, displayed_path(self._target)) from exc
        with contextlib.suppress(OSError):  # all of it is on the disk already
            self._file.close()
        sync_name(self._target, self._folder.held)

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
                # tifffile writes only compressions that it knows; `finish` puts ours in place.
                compression=encoding.compression if _is_known(encoding.compression) else JPEGXL,
                predictor=encoding.predictor,
                software=SOFTWARE,
                metadata=None,
                **layout,
            )
        except (SlideReadError, SlideWriteError):
            raise
        except (OSError, struct.error, ValueError, TypeError, RuntimeError) as exc:
            raise _write_error(exc, self.partial) from exc

    def _stored(self, level: WrittenLevel, tiles: Iterable[MadeTile]) -> Iterator[bytes]:
        """Yield the bytes of the tiles that tifffile has to store, and check their number.

        Raises:
            SlideWriteError: a blank tile cannot be encoded, or the number of tiles is not the plan's.
        """
        place = f"level {level.plan.number}"
        for tile in tiles:
            try:
                data = level.add(tile)
            except ValueError as exc:
                message = f'no blank tile can be made ({exc}); take `glass="keep"` or `codec="jpeg"`'
                raise SlideWriteError(message, displayed_path(self.partial), place) from exc
            self._check_room(len(data))
            yield data
        if level.count != level.plan.grid.count:
            found = f"{level.count} tiles, planned {level.plan.grid.count}"
            raise SlideWriteError(found, displayed_path(self.partial), place)

    def _check_room(self, count: int) -> None:
        """Check the free space before `count` bytes are written, once for every 16 MiB."""
        self._unchecked_bytes += count
        if self._unchecked_bytes > _CHECKED_BYTES:
            self._unchecked_bytes = 0
            check_free_space(self.partial, count, self._min_free)

    def _description(self, plan: LevelPlan) -> str:
        if self._plan.container == "tiff":
            return f"{SOFTWARE}; provenance as JSON in the XMP packet"
        kind = "YCC" if plan.encoding.photometric == YCBCR else "RGB"
        qualities = {recipe.options.get("quality") for recipe in plan.recipes}
        only = qualities.pop() if len(qualities) == 1 else None
        names = {
            JPEG: f"JPEG/{kind}" if only is None else f"JPEG/{kind} Q={only}",
            APERIO_JPEG2000_RGB: "J2K/RGB",
        }
        is_copied = all(recipe.copies for recipe in plan.recipes)
        coding = "copy" if is_copied else names.get(plan.encoding.compression, "RAW")
        text = aperio.LevelText(plan.size, plan.tile, f"{coding} glass={self._plan.glass_fill}")
        previous = aperio.limited_description(self._plan.description)
        return aperio.level_description(self._plan.levels[0].size, text, previous)

    def _resolution(self, plan: LevelPlan) -> dict[str, Any]:
        if self._plan.mpp is None:
            return {}
        largest = self._plan.levels[0].size
        mpp_x = self._plan.mpp.x * largest.width / plan.size.width
        mpp_y = self._plan.mpp.y * largest.height / plan.size.height
        return {"resolution": (10_000 / mpp_x, 10_000 / mpp_y), "resolutionunit": "CENTIMETER"}


def _is_known(compression: int) -> bool:
    """Return whether tifffile writes tiles under this number."""
    return compression in tifffile.COMPRESSION.__members__.values()


def _renewed_note(count: int) -> Iterator[str]:
    if count:
        yield (
            f"{counted(count, 'tile')} stored more than a picture, which could name a patient, and had to be "
            "encoded anew: without loss, but where it was JPEG with the quantisation that it had"
        )


def _rename(tiff: tifffile.TiffFile, tag: tifffile.TiffTag, code: int) -> None:
    tiff.filehandle.seek(tag.offset)
    tiff.filehandle.write(struct.pack(f"{tiff.byteorder}H", code))


def _attach(tiff: tifffile.TiffFile, levels: list[tifffile.TiffPage], first: tifffile.TiffPage) -> None:
    """Take the associated images out of the chain of levels: the first becomes level 0's only SubIFD.

    The others follow it in a chain of their own. Of all layouts tried it is the only one in which no program
    takes an image for a level, and none refuses the file: in the chain of levels GDAL and cuCIM do whatever
    their types, and tifffile does with every SubIFD that is an exact part of the slide in size, as a
    thumbnail may be.
    """
    file, form = tiff.filehandle, tiff.tiff
    tag = levels[0].tags[_AS_SUBIFDS]
    file.seek(tag.offset + form.tagsize - form.offsetsize)
    file.write(struct.pack(form.offsetformat, first.offset))
    _rename(tiff, tag, _SUBIFDS)
    file.seek(link_place(tiff, levels[-1].offset))
    file.write(bytes(form.offsetsize))
    file.flush()


def _flush(descriptor: int) -> None:
    """Flush an open file to the disk, and close this number of it."""
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_error(exc: Exception, path: Path) -> SlideWriteError:
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return SlideWriteError(f"cannot be written ({reason}); the target is as it was", displayed_path(path))
