"""The role of each image of a TIFF.

A level, another focal plane, a label, macro or thumbnail, or none of them.

OpenSlide's aperio driver takes every tiled image of the main chain for a level, its generic driver every
tiled one that is marked as reduced, and neither reads SubIFDs. Here an image is a level only if it can show
what level 0 shows, smaller: planes and tiled labels cannot. Every image that is left over is named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wsicomp.errors import UnsupportedSlideError
from wsicomp.formats.tiff import aperio
from wsicomp.formats.tiff.directories import Directory, openslide_levels
from wsicomp.formats.tiff.ome import OmeDocument, OmeImage, is_ome, parse_ome
from wsicomp.geometry import Size
from wsicomp.slide import Plane
from wsicomp.text.figures import counted

_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType."""
_SAME_SIZE = 1.05
"""Images whose sides differ by less than this ratio are of one size: no pyramid has such steps."""
_ROUNDING_PX, _STRICT_PX = 3.0, 1.5
_MOST_NAMED = 12
_MOST_THUMBNAIL_PX = 2048
_ASPECT_TOLERANCE = 0.05
_OFFSET = re.compile(r"[-+]?\d{1,9}([.,]\d{0,9})?")


@dataclass(frozen=True)
class NamedImage:
    """A directory that is an associated image if it is sound."""

    name: str
    """"label", "macro" or "thumbnail"."""
    directory: Directory
    """Its directory."""
    may_be: tuple[str, ...] = ()
    """The names that it could have by other signs, as in `AssociatedImage`."""


@dataclass(frozen=True)
class Layout:
    """The roles of a file's images."""

    levels: tuple[Directory, ...]
    """The levels, largest first, each smaller than the one before."""
    planes: tuple[Plane, ...]
    """The focal planes; empty where there is one."""
    named: tuple[NamedImage, ...]
    """The associated images."""
    omitted: tuple[str, ...]
    """The images that are left out, in words that name nobody."""
    remarks: tuple[str, ...]
    """Lines about the images for the user, in words that name nobody."""
    image: OmeImage | None
    """The slide's image as OME-XML describes it."""


def read_layout(directories: Sequence[Directory], z: int | None = None) -> Layout:
    """Return the roles of a file's images.

    `z` is the place of the focal plane to read, counted from 0; None is the first.

    Raises:
        UnsupportedSlideError: the slide's image is not tiled, has several channels or times, or lacks the
            plane.
    """
    return _Sorter(directories).layout(z)


def has_slide_proportions(size: Size, slide: Size) -> bool:
    """Return whether an image has the slide's proportions, which a label does not have."""
    if min(size.width, size.height, slide.width, slide.height) < 1:
        return False
    aspect = size.width / size.height * slide.height / slide.width
    return abs(aspect - 1) <= _ASPECT_TOLERANCE + 1 / min(size.width, size.height)


def is_reduced(size: Size, tile: Size, slide: Size) -> bool:
    """Return whether a level can show the same as level 0: it is smaller and has the same proportions.

    `size` and `tile` are the level's, `slide` is level 0's size, all in pixels.
    """
    return not _are_same(size, slide) and _fits(size, tile, slide)


@dataclass(frozen=True, eq=False)
class _Image:
    """A directory and its place: `position` in the main chain is its own, or that of its parent."""

    directory: Directory
    position: int
    is_sub: bool = False

    @property
    def size(self) -> Size:
        return self.directory.size

    @property
    def offset(self) -> str | None:
        """The offset of its focal plane as Aperio and similar writers state it.

        Only a number, which names nobody.
        """
        text = aperio.parse_fields(self.directory.description).get("OffsetZ", "")
        return text if _OFFSET.fullmatch(text) else None

    @property
    def depth(self) -> float | None:
        """`offset` as a number, so that 0 and 0.0 are one plane."""
        return None if self.offset is None else float(self.offset.replace(",", "."))


class _Sorter:
    """Finds the role of each image of a file."""

    def __init__(self, directories: Sequence[Directory]) -> None:
        text = directories[0].description
        self._directories = directories
        self._is_aperio = text.startswith("Aperio")
        self._document = parse_ome(text) if not self._is_aperio and is_ome(text) else None
        self._chain = [_Image(directory, number) for number, directory in enumerate(directories)]
        self._subs = [_Image(sub, one.position, True) for one in self._chain for sub in one.directory.subs]
        self._main = self._chain[0] if self._document is None else _main_image(self._chain, self._document)
        self._near_levels: dict[_Image, Size] = {}
        self._names = {
            one: name
            for one in (*self._chain, *self._subs)
            if one is not self._main and (name := self._name(one)) is not None
        }
        self._near_levels = self._find_near_levels()

    def layout(self, z: int | None) -> Layout:
        if self._main.directory.tile is None:
            raise UnsupportedSlideError("the first image is stored in strips, expected tiles")
        image = self._described(self._main)
        if image is not None:
            _check_channels(image, self._main.directory.samples)
        stack, *groups = self._groups()
        planes = tuple(Plane(number, one.size, one.offset) for number, one in enumerate(stack))
        if z is not None and not 0 <= z < len(planes):
            there = ", ".join(map(str, planes)) if len(planes) > 1 else "one focal plane"
            raise UnsupportedSlideError(f"no plane z {z}; the slide has {there}: choose another `z`, or none")
        chosen = z or 0
        members = [_of_plane(group, stack, chosen) for group in groups]
        levels = [stack[chosen], *(member for member in members if member is not None)]
        of_planes = [one for group in (stack, *groups) for one in group if one not in levels]
        return Layout(
            tuple(level.directory for level in levels),
            planes if len(planes) > 1 else (),
            tuple(self._names.values()),
            tuple(self._omitted(levels, stack, of_planes)),
            tuple(self._remarks(levels, planes, z)),
            image,
        )

    def _find_near_levels(self) -> dict[_Image, Size]:
        """Return the images of nearly a level's size that are not exact parts of the slide.

        Each has the level's size beside it. The first one that can be a thumbnail becomes it, if the file
        names none.
        """
        found: dict[_Image, Size] = {}
        for group in self._groups()[1:]:
            best = min(group, key=lambda one: _off_whole_ratio(one.size, self._main.size))
            if _off_whole_ratio(best.size, self._main.size)[0]:
                continue
            found |= {one: best.size for one in group if not _differ_by_rounding(one.size, best.size)}
        named = {name.name for name in self._names.values()}
        for one in found if "thumbnail" not in named else ():
            if not one.is_sub and max(one.size.width, one.size.height) <= _MOST_THUMBNAIL_PX:
                self._names[one] = NamedImage("thumbnail", one.directory, ("label",))
                del found[one]
                break
        return found

    def _described(self, one: _Image) -> OmeImage | None:
        return None if self._document is None else self._document.of_page(one.position)

    def _name(self, one: _Image) -> NamedImage | None:
        """Return the associated image that a directory is, by its text, OME-XML, type or place."""
        directory = one.directory
        described = None if one.is_sub else self._described(one)
        kind = directory.subfile_type
        if directory.tile is not None and (one.is_sub or (kind == _REDUCED and self._may_be_level(one))):
            kind = 0  # it also says that an image is a smaller copy of another one
        is_second = self._is_aperio and one.position == 1 and not one.is_sub and directory.tile is None
        name = aperio.associated_name(directory.description, kind, 1 if is_second else -1)
        name = (described.role if described is not None else "") or name
        if not name:
            return None
        typed = aperio.associated_name("", kind, -1)
        may_be = set() if typed is None else {typed}
        if name == "thumbnail":
            may_be = set() if has_slide_proportions(one.size, self._main.size) else {"label", "macro"}
        word = aperio.associated_name(directory.description, 0, -1)  # OME-XML may call it otherwise
        is_by_type = word is None and not (described is not None and described.role)
        may_be_a_copy = is_by_type and (is_second or self._means_a_copy(one))
        if may_be_a_copy and has_slide_proportions(one.size, self._main.size):
            name = "thumbnail"  # `may_be` still has its type, by which it goes where no label is wanted
        may_be |= set() if word is None else {word}
        return NamedImage(name, directory, tuple(sorted(may_be - {name})))

    def _means_a_copy(self, one: _Image) -> bool:
        """Return whether the type of an image in strips marks it as a smaller copy, as TIFF defines it.

        Aperio marks its labels so; in an SVS alone OpenSlide takes an image that is marked so for a label.
        """
        directory = one.directory
        is_tiff_s = one.is_sub or not self._is_aperio
        return is_tiff_s and directory.tile is None and directory.subfile_type == _REDUCED

    def _may_be_level(self, one: _Image) -> bool:
        """Return whether a tiled image has level 0's proportions.

        To the pixel where its type is that of a label.
        """
        size, tile = one.size, one.directory.tile or one.size
        if self._is_aperio and one.directory.subfile_type == _REDUCED:
            return _fits(size, tile, self._main.size, _STRICT_PX, 0)
        return _fits(size, tile, self._main.size)

    def _groups(self) -> list[list[_Image]]:
        """Return the images that show what level 0 shows, largest first.

        Those of one size together, in file order.
        """
        chain = [one for one in self._chain if one is self._main or self._is_candidate(one)]
        side = self._main.size
        parents = {one.position for one in chain if _are_same(one.size, side)}
        subs = [one for one in self._subs if one.position in parents and self._is_candidate(one)]
        order = {one: number for number, one in enumerate((*chain, *subs))}
        groups: list[list[_Image]] = []
        for one in sorted(order, key=lambda one: -one.size.width * one.size.height):
            if groups and _are_same(groups[-1][0].size, one.size):
                groups[-1].append(one)
            else:
                groups.append([one])
        return [sorted(group, key=order.__getitem__) for group in groups]

    def _is_candidate(self, one: _Image) -> bool:
        directory, main = one.directory, self._main.directory
        if directory.tile is None or one in self._names or one in self._near_levels:
            return False
        if directory.subfile_type & _MASK:
            return False
        if (directory.samples, directory.bits) != (main.samples, main.bits) or not self._may_be_level(one):
            return False
        if one.is_sub or self._is_aperio:
            return True
        described = self._described(one)
        if described is not self._described(self._main):
            return False
        is_plane = described is not None and described.size_z > 1 and _are_same(one.size, self._main.size)
        return is_plane or bool(directory.subfile_type & _REDUCED)

    def _omitted(self, levels: list[_Image], stack: list[_Image], of_planes: list[_Image]) -> Iterator[str]:
        planes = [one for one in of_planes if one in stack]
        if planes:
            yield f"{counted(len(planes), 'other focal plane')} of {self._main.size} px"
        smaller = [one for one in of_planes if one not in stack]
        if smaller:
            whose = "of them" if planes else "of one size with a level"
            sizes = ", ".join(dict.fromkeys(f"{one.size} px" for one in smaller))
            yield f"{counted(len(smaller), 'smaller image')} {whose} ({sizes})"
        for one, level in self._near_levels.items():
            yield f"{_text(one)}, nearly of one size with the level of {level} px"
        known = {*levels, *of_planes, *self._names, *self._near_levels}
        rest = [one for one in (*self._chain, *self._subs) if one not in known]
        hidden = [one for one in rest if self._is_hidden_in_openslide(one)]
        if hidden:
            sizes = ", ".join(dict.fromkeys(f"{one.size} px" for one in hidden))
            yield f"{counted(len(hidden), 'tiled image')} that OpenSlide does not show ({sizes})"
        texts = Counter(_text(one) for one in rest if one not in hidden)
        for text, count in list(texts.items())[:_MOST_NAMED]:
            yield text if count == 1 else f"{count} times {text}"
        if len(texts) > _MOST_NAMED:
            yield counted(sum(list(texts.values())[_MOST_NAMED:]), "other image")
        described = self._described(self._main)
        if described is not None and described.is_elsewhere:
            yield "what the OME-XML says to be in other files"

    def _is_hidden_in_openslide(self, one: _Image) -> bool:
        kind = one.directory.subfile_type
        return one.directory.tile is not None and not one.is_sub and not self._is_aperio and kind == 0

    def _remarks(self, levels: list[_Image], planes: tuple[Plane, ...], z: int | None) -> Iterator[str]:
        if len(planes) > 1:
            there = ", ".join(map(str, planes))
            chosen = (
                f"{planes[z]} is kept, the others are not carried on"
                if z is not None
                else "choose one by `z`"
            )
            yield f"{len(planes)} focal planes of {planes[0].size} px, {there}: {chosen}"
        shown = [id(directory) for directory in openslide_levels(self._directories)]
        for one, named in self._names.items():
            if id(one.directory) in shown:
                yield f"OpenSlide takes the tiled {named.name} of {one.size} px for a level; it is none here"
            elif self._is_aperio and one.position == 1 and not one.is_sub and named.name != "thumbnail":
                taken = f"OpenSlide takes the {named.name}, which stands second, for the thumbnail"
                yield f"{taken}; here it is the {named.name}"
            elif named.name == "thumbnail" and has_slide_proportions(one.size, self._main.size):
                if named.may_be:
                    yield (
                        f"the image of {one.size} px has the slide's proportions and the type of a "
                        f"{' and '.join(named.may_be)}: it is taken for the thumbnail"
                    )
            elif named.may_be and named.name == "thumbnail":
                yield (
                    f"the image of {one.size} px that OpenSlide takes for the thumbnail has not the slide's "
                    "proportions: it may be a label"
                )
            elif named.may_be:
                other = " and ".join(named.may_be)
                yield f"an image of {one.size} px calls itself {named.name}, but its type says {other}"
        hidden = sum(id(level.directory) not in shown for level in levels)
        if hidden and len(planes) == 1:
            displayed = f"{len(levels) - hidden} of the source's {len(levels)} levels"
            yield f"OpenSlide shows {displayed}: it knows neither SubIFDs nor OME-XML"


def _main_image(chain: list[_Image], document: OmeDocument) -> _Image:
    """Return the slide among the images of an OME-TIFF.

    The largest in tiles that is not an associated image.
    """

    def rank(one: _Image) -> tuple[bool, bool, int, int]:
        described = document.of_page(one.position)
        beside = described is not None and bool(described.role)
        return (not beside, one.directory.tile is not None, one.size.width * one.size.height, -one.position)

    return max((one for one in chain if not one.directory.subfile_type & _MASK), key=rank, default=chain[0])


def _check_channels(image: OmeImage, samples: int) -> None:
    """Refuse an image that is neither one picture in colour nor a stack of such.

    Some writers count samples alone.

    Raises:
        UnsupportedSlideError: OME-XML states several channels or times.
    """
    if image.size_t > 1 or (image.channels > 1 and image.size_c != samples):
        found = f"planes {image.size_z}, channels {image.channels}, times {image.size_t}"
        raise UnsupportedSlideError(
            f"its OME-XML states {found}; expected one picture in RGB, or focal planes of it"
        )


def _of_plane(group: list[_Image], stack: list[_Image], z: int) -> _Image | None:
    """Return the image of a lower level that belongs to plane `z` of the stack.

    None where none is marked so.
    """
    plane = stack[z]
    own = [one for one in group if one.is_sub and one.position == plane.position]
    if own and not plane.is_sub:
        return own[0]
    rest = [one for one in group if not one.is_sub]
    depths = [one.depth for one in stack]
    if len(stack) == 1 or (len(set(depths)) == len(depths) and any(one.depth is not None for one in rest)):
        found = [one for one in rest if one.depth == plane.depth]
        return found[0] if found else (group[0] if len(stack) == 1 else None)
    if len(rest) == len(stack):
        return rest[z]
    # What says nothing of a plane lies below the first, as OpenSlide has it.
    return rest[0] if z == 0 and len(rest) == 1 else None


def _are_same(one: Size, other: Size) -> bool:
    pairs = ((one.width, other.width), (one.height, other.height))
    return all(max(pair) < _SAME_SIZE * min(pair) or max(pair) == min(pair) for pair in pairs)


def _off_whole_ratio(size: Size, slide: Size) -> tuple[bool, bool]:
    """Return whether a level is off every whole-number ratio to the slide, and off every power of two."""
    ratio = max(1, round(slide.width / max(1, size.width)))
    off = max(abs(size.width - slide.width / ratio), abs(size.height - slide.height / ratio))
    return off > _STRICT_PX, ratio & (ratio - 1) != 0


def _differ_by_rounding(one: Size, other: Size) -> bool:
    return max(abs(one.width - other.width), abs(one.height - other.height)) <= _STRICT_PX


def _fits(size: Size, tile: Size, slide: Size, rounding: float = _ROUNDING_PX, share: float = 0.02) -> bool:
    """Return whether an image has the slide's proportions, but for rounding or padding of its last tiles."""
    if min(size.width, size.height, tile.width, tile.height, slide.width, slide.height) < 1:
        return True  # that it is damaged is said by who reads it
    width, height = slide.width * size.height / slide.height, slide.height * size.width / slide.width
    if abs(size.width - width) <= max(rounding, share * width):
        return True
    if abs(size.height - height) <= max(rounding, share * height):
        return True
    if not share or size.width % tile.width or size.height % tile.height:
        return False
    least = max(slide.width / size.width, slide.height / size.height)
    widest = slide.width / max(1, size.width - tile.width)
    return least <= min(widest, slide.height / max(1, size.height - tile.height))


def _text(one: _Image) -> str:
    directory = one.directory
    kind = "a mask" if directory.subfile_type & _MASK else "an image"
    stored = "strips" if directory.tile is None else "tiles"
    where = " of a SubIFD" if one.is_sub else ""
    return f"{kind} of {one.size} px in {stored}{where}"
