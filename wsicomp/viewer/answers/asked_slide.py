"""The slide, the tile and the rectangle that a request names."""

from __future__ import annotations

from http import HTTPStatus

from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.geometry import TileIndex
from wsicomp.viewer.exchange import RefusedRequestError, Request
from wsicomp.viewer.pictures.views import Rectangle
from wsicomp.viewer.session import Session
from wsicomp.viewer.viewed_slide import ViewedSlide


def slide_of(session: Session, request: Request, place: int = 1) -> ViewedSlide:
    """Return the slide whose number stands at a place of the address.

    Raises:
        RefusedRequestError: there is no such slide.
    """
    try:
        return session.slide(request.whole(place))
    except LookupError:
        raise RefusedRequestError(HTTPStatus.NOT_FOUND, "no such slide") from None


def index_of(viewed: ViewedSlide, request: Request, place: int) -> TileIndex:
    """Return the tile whose level, column and row stand from a place of the address on.

    Raises:
        RefusedRequestError: the slide has no such tile.
    """
    index = TileIndex(*(request.whole(at) for at in range(place, place + 3)))
    if index.level >= len(viewed.shown.levels):
        raise RefusedRequestError(HTTPStatus.NOT_FOUND, "no such level")
    grid = viewed.shown.levels[index.level].grid
    if index.column >= grid.columns or index.row >= grid.rows:
        raise RefusedRequestError(HTTPStatus.NOT_FOUND, "no such tile")
    return index


def rectangle_of(request: Request) -> Rectangle:
    """Return the rectangle that the query states: x, y, width and height in level-0 pixels.

    Raises:
        RefusedRequestError: a number is missing, or not finite.
        ConfigError: a side is not over 0.
    """
    return Rectangle(*(request.number(name) for name in ("x", "y", "width", "height")))


def converted_of(viewed: ViewedSlide) -> ConvertedSlide:
    """Return a slide as the conversion that it is.

    Raises:
        RefusedRequestError: it is none.
    """
    if not isinstance(viewed.shown.slide, ConvertedSlide):
        raise RefusedRequestError(HTTPStatus.NOT_FOUND, "not a conversion by wsicomp")
    return viewed.shown.slide
