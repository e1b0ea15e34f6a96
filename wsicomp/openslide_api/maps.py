"""The mappings of an open slide: properties and associated images, as OpenSlide returns them.

They read the slide at each access, so that after `close` they raise as the slide does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from PIL import Image

from wsicomp.openslide_api.errors import SlideArgumentError
from wsicomp.slide import AssociatedImage

_Held = TypeVar("_Held")
_Value = TypeVar("_Value")


class _OpenSlideMap(Mapping[str, _Value], Generic[_Held, _Value]):
    """Shows the content that `content` returns at each access, under the name of OpenSlide's mapping."""

    def __init__(self, content: Callable[[], Mapping[str, _Held]]) -> None:
        self._content = content

    def __repr__(self) -> str:
        return f"<_{type(self).__name__} {dict(self)!r}>"

    def __iter__(self) -> Iterator[str]:
        return iter(self._content())

    def __len__(self) -> int:
        return len(self._content())


class PropertyMap(_OpenSlideMap[str, str]):
    """Properties by name, which may be bytes in UTF-8 too."""

    def __getitem__(self, name: Any) -> str:
        properties = self._content()
        if not isinstance(name, str | bytes):
            raise SlideArgumentError(f"{name!r} is no name of a property; expected text")
        return properties[name.decode() if isinstance(name, bytes) else name]


class AssociatedImageMap(_OpenSlideMap[AssociatedImage | None, Image.Image]):
    """Associated images by name; each is decoded anew, as OpenSlide does."""

    def __init__(
        self,
        images: Callable[[], Mapping[str, AssociatedImage | None]],
        decode: Callable[[str, AssociatedImage | None], Image.Image],
    ) -> None:
        super().__init__(images)
        self._decode = decode

    def __getitem__(self, name: str) -> Image.Image:
        return self._decode(name, self._content()[name])
