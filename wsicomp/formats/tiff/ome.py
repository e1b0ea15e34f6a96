"""The images that the OME-XML of an OME-TIFF describes: names, planes, scale, objective.

The text comes from a stranger: its size is bounded, a document type and entities are refused, and a text that
is not sound says nothing. It may name a patient; no function here returns its text.

Source: the OME data model 2016-06; OME-TIFF specification, TiffData.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from wsicomp.formats.stated_scale import positive_number
from wsicomp.geometry import Mpp, Size

_MOST_BYTES = 1 << 24
_MOST_DEPTH = 64
_MOST_IMAGES = 1000
_MOST_PAGES = 1000
_MOST_PARTS = 4000
_STARTS = ("<?xml", "<ome", "<!--")

_MICROMETRES: Mapping[str, float] = {
    "pm": 1e-6,
    "nm": 1e-3,
    "µm": 1.0,
    "\u03bcm": 1.0,
    "um": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "dm": 1e5,
    "m": 1e6,
    "Å": 1e-4,
    "in": 25_400.0,
    "ft": 304_800.0,
    "pt": 25_400.0 / 72,
    "thou": 25.4,
}
"""Micrometres in each unit of length of the schema that can measure a slide."""


@dataclass(frozen=True)
class OmeImage:
    """An `Image` element."""

    role: str
    """"label", "macro" or "thumbnail" by its name, else ""."""
    size: Size | None
    """Its size in pixels."""
    size_z: int
    """The count of its focal planes."""
    size_c: int
    """The count of its samples over all channels."""
    size_t: int
    """The count of its times."""
    samples: int
    """The samples that a page holds."""
    mpp: Mpp | None
    """Its um per px."""
    objective_power: float | None
    """The nominal magnification of its objective."""
    pages: tuple[int, ...]
    """The places in the TIFF's main chain that hold its planes."""
    is_elsewhere: bool
    """Whether some of its planes are in other files."""

    @property
    def channels(self) -> int:
        """The count of images that make up one plane; only 1 can be read here."""
        return -(-self.size_c // self.samples)


@dataclass(frozen=True)
class OmeDocument:
    """The images of an OME-XML text, in its order."""

    images: tuple[OmeImage, ...]

    def of_page(self, page: int) -> OmeImage | None:
        """Return the image to which a directory belongs; None where the text names none.

        `page` counts the directories of the main chain from 0.
        """
        return next((image for image in self.images if page in image.pages), None)


def is_ome(description: str) -> bool:
    """Return whether an ImageDescription claims to be OME-XML."""
    start = description[:4096].lstrip("\ufeff\xef\xbb\xbf \t\r\n").lower()
    return start.startswith(_STARTS) and "<ome" in description[:65536].lower().replace("<ome:ome", "<ome")


def parse_ome(description: str) -> OmeDocument | None:
    """Return the images of an ImageDescription; None if it is not sound OME-XML.

    `description` carries the file's bytes as Latin-1.
    """
    if len(description) > _MOST_BYTES:
        return None
    collector = _Collector()
    parser = expat.ParserCreate()
    parser.StartElementHandler = collector.start
    parser.EndElementHandler = collector.end
    parser.CharacterDataHandler = collector.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(description.encode("latin-1").strip(b"\0 \t\r\n"), True)
        return collector.document()
    except (expat.ExpatError, ValueError, UnicodeError):
        return None


def _refuse_doctype(*_: object) -> None:
    raise ValueError("a document type")


@dataclass
class _Found:
    """An `Image` element while it is read."""

    name: str = ""
    pixels: dict[str, str] = field(default_factory=dict)
    samples: int = 1
    objective: str = ""
    parts: list[dict[str, str]] = field(default_factory=list)


class _Collector:
    """Takes the elements from the parser, and keeps those that describe images."""

    def __init__(self) -> None:
        self._path: list[str] = []
        self._images: list[_Found] = []
        self._objectives: dict[str, float | None] = {}
        self._own = ""
        self._uuid: tuple[str, list[str]] | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        if len(self._path) >= _MOST_DEPTH or len(self._images) > _MOST_IMAGES:
            raise ValueError("too deep, or too many images")
        if not self._path and tag != "OME":
            raise ValueError("not OME")
        if not self._path:
            self._own = attributes.get("UUID", "")
        elif tag == "Objective" and "ID" in attributes:
            self._objectives[attributes["ID"]] = positive_number(attributes.get("NominalMagnification"))
        elif tag == "Image" and self._path == ["OME"]:
            self._images.append(_Found(attributes.get("Name", "")))
        elif self._images and self._path[1:2] == ["Image"]:
            self._of_image(tag, attributes)
        self._path.append(tag)

    def _of_image(self, tag: str, attributes: dict[str, str]) -> None:
        image, parent = self._images[-1], self._path[-1]
        if parent == "Image" and tag in ("ObjectiveSettings", "ObjectiveRef"):
            image.objective = attributes.get("ID", "")
        elif parent == "Image" and tag == "Pixels":
            image.pixels = attributes
        elif parent == "Pixels" and tag == "Channel":
            image.samples = max(image.samples, _count(attributes.get("SamplesPerPixel"), 1))
        elif parent == "Pixels" and tag == "TiffData":
            if len(image.parts) >= _MOST_PARTS:
                raise ValueError("too many parts of an image")
            image.parts.append(attributes)
        elif self._path[-2:] == ["Pixels", "TiffData"] and tag == "UUID":
            self._uuid = (attributes.get("FileName", ""), [])

    def text(self, text: str) -> None:
        if self._uuid is not None and self._path[-1] == "UUID":
            self._uuid[1].append(text)

    def end(self, _: str) -> None:
        if self._path.pop() == "UUID" and self._uuid is not None:
            self._images[-1].parts[-1]["/uuid"] = "".join(self._uuid[1]).strip()
            self._uuid = None

    def document(self) -> OmeDocument | None:
        if not self._images:
            return None
        return OmeDocument(tuple(self._image(found) for found in self._images))

    def _image(self, found: _Found) -> OmeImage:
        pixels = found.pixels
        size_z, size_c, size_t = (_count(pixels.get(f"Size{axis}"), 1) for axis in "ZCT")
        width, height = (_count(pixels.get(f"Size{axis}"), 0) for axis in "XY")
        powers = self._objectives
        power = powers.get(found.objective) if found.objective else None
        if power is None and len(powers) == 1:
            power = next(iter(powers.values()))
        own = [part for part in found.parts if part.get("/uuid", self._own) == self._own or not self._own]
        planes = size_z * size_t * -(-size_c // found.samples)
        if not found.parts and len(self._images) == 1:
            own = [{}]  # of a single image all pages are meant
        return OmeImage(
            _role(found.name),
            Size(width, height) if width and height else None,
            size_z,
            size_c,
            size_t,
            found.samples,
            _mpp(pixels),
            power,
            tuple(dict.fromkeys(page for part in own for page in _pages(part, planes))),
            len(own) < len(found.parts),
        )


def _role(name: str) -> str:
    """Return the role of an image by the names that Bio-Formats, QuPath and others give."""
    words = name.casefold().replace("_", " ").replace("-", " ").split()
    for role in ("label", "macro", "thumbnail"):
        if words[:1] == [role] or (len(words) > 1 and words[-2:] == [role, "image"]):
            return role
    return "macro" if words[:1] == ["overview"] else ""


def _pages(part: Mapping[str, str], planes: int) -> range:
    first = _count(part.get("IFD"), 0)
    given = 1 if "IFD" in part else planes
    count = min(_count(part.get("PlaneCount"), given), planes, _MOST_IMAGES)
    return range(first, min(first + count, _MOST_PAGES))


def _mpp(pixels: Mapping[str, str]) -> Mpp | None:
    """Return um per px in both directions; None unless both are stated as lengths."""
    found = []
    for axis in "XY":
        value = positive_number(pixels.get(f"PhysicalSize{axis}"))
        unit = _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm").strip())
        if value is None or unit is None or not 0 < value * unit < math.inf:
            return None
        found.append(value * unit)
    return Mpp(*found)


def _count(text: str | None, default: int) -> int:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default
