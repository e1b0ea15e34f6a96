"""The mappings of an open slide: properties and associated images, as OpenSlide returns them.

They read the slide at each access, so that after `close` they raise as the slide does.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from PIL import Image

from wsicomp.openslide_api.errors import SlideArgumentError
from wsicomp.slide import AssociatedImage

_Value = TypeVar("_Value")


class _OpenSlideMap(Mapping[str, _Value]):
    """Shows its content under the name of OpenSlide's mapping."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {dict(self)!r}>"

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    @abstractmethod
    def _names(self) -> list[str]: ...


class _PropertyMap(_OpenSlideMap[str]):
    """Properties by name, which may be bytes in UTF-8 too."""

    def __init__(self, properties: Callable[[], Mapping[str, str]]) -> None:
        self._properties = properties

    def __getitem__(self, name: Any) -> str:
        properties = self._properties()
        if not isinstance(name, str | bytes):
            raise SlideArgumentError(f"{name!r} is no name of a property; expected text")
        return properties[name.decode() if isinstance(name, bytes) else name]

    def _names(self) -> list[str]:
        return list(self._properties())


class _AssociatedImageMap(_OpenSlideMap[Image.Image]):
    """Associated images by name; each is decoded anew, as OpenSlide does."""

    def __init__(
        self,
        images: Callable[[], Mapping[str, AssociatedImage | None]],
        decode: Callable[[str, AssociatedImage | None], Image.Image],
    ) -> None:
        self._images = images
        self._decode = decode

    def __getitem__(self, name: str) -> Image.Image:
        return self._decode(name, self._images()[name])

    def _names(self) -> list[str]:
        return list(self._images())


def property_map(properties: Callable[[], Mapping[str, str]]) -> Mapping[str, str]:
    """Return a mapping of properties that calls `properties` at each access."""
    return _PropertyMap(properties)


def associated_image_map(
    images: Callable[[], Mapping[str, AssociatedImage | None]],
    decode: Callable[[str, AssociatedImage | None], Image.Image],
) -> Mapping[str, Image.Image]:
    """Return a mapping of associated images that calls `images` at each access, and decodes with `decode`."""
    return _AssociatedImageMap(images, decode)
