"""What the page is told of an archive: its slides page by page, one of them opened, small pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from wsicomp.errors import SlideReadError
from wsicomp.viewer.exchange import RefusedRequestError, Request, Response, json_response
from wsicomp.viewer.folder.archive import ORDERS, ArchiveEntry
from wsicomp.viewer.folder.archive_slides import ArchiveSlides, OpenEntry
from wsicomp.viewer.pictures.tile_pictures import TilePicture
from wsicomp.viewer.session import Session, described

_MOST_ENTRIES = 500
_USUAL_ENTRIES = 100
_LONGEST_TEXT = 200
_RESULTS_POLICY = {
    "Content-Security-Policy": "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
_NO_PICTURE = TilePicture(
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 120"><g fill="none" stroke="#888" '
    b'stroke-width="3"><rect x="30" y="25" width="100" height="70" rx="6"/>'
    b'<path d="M40 88 120 32"/></g></svg>',
    "image/svg+xml",
)
"""Stands for a slide of which no picture can be made."""


def archive_of(session: Session) -> ArchiveSlides:
    """Return the archive that a session shows.

    Raises:
        RefusedRequestError: it shows none.
    """
    if session.archive is None:
        raise RefusedRequestError(HTTPStatus.NOT_FOUND, "no folder is shown here")
    return session.archive


def archive_answer(session: Session, request: Request) -> Response:
    """Return a part of the list of slides, with the totals of all."""
    archive = archive_of(session).archive
    first, count = _whole(request, "from", 0), _whole(request, "count", _USUAL_ENTRIES)
    found = _chosen(session, request)
    shown = found[first : first + min(count, _MOST_ENTRIES)]
    values = {
        "name": archive.name,
        "ledger": archive.has_ledger,
        "totals": archive.listing().totals,
        "found": len(found),
        "from": first,
        "entries": [entry.to_json() for entry in shown],
    }
    return json_response(values)


def archive_session(session: Session, request: Request) -> Mapping[str, object]:
    """Return what the page is told first: of one slide of the archive, opened, or of the list."""
    archive = archive_of(session).archive
    if "entry" not in request.query:
        return {**described(session, ()), "title": archive.name, **_of_folder(session)}
    number = _whole(request, "entry", 0)
    try:
        opened = archive_of(session).opened(number)
    except LookupError:
        raise RefusedRequestError(HTTPStatus.NOT_FOUND, "no such slide in the folder") from None
    name = opened.entry.name
    values = {"title": name, "entry": _entry_values(opened, _chosen(session, request))}
    return {**described(session, opened.slides), **values, **_of_folder(session)}


def _of_folder(session: Session) -> Mapping[str, object]:
    return {"folder": True, "results": session.results is not None}


def results_answer(session: Session, request: Request) -> Response:  # noqa: ARG001 - every route takes both
    """Return the page of a comparison, which has a policy of its own against what is not of it."""
    if session.results is None:
        raise RefusedRequestError(HTTPStatus.NOT_FOUND, "no comparison is shown here")
    return Response(session.results, "text/html; charset=utf-8", headers=_RESULTS_POLICY)


def archive_thumbnail(session: Session, request: Request) -> Response:
    """Return a small picture of a slide, or one that stands for it."""
    slides = archive_of(session)
    try:
        entry = slides.archive.entry(request.whole(1))
    except LookupError:
        raise RefusedRequestError(HTTPStatus.NOT_FOUND, "no such slide in the folder") from None

    def made() -> TilePicture:
        try:
            return slides.thumbnail(entry)
        except SlideReadError:
            return _NO_PICTURE

    picture = session.kept(("archive", entry.number, entry.stamp), made)
    return Response(picture.data, picture.media_type, is_lasting="stamp" in request.query)


def _entry_values(opened: OpenEntry, chosen: Sequence[ArchiveEntry]) -> Mapping[str, object]:
    """Return a slide as the list has it, with its neighbours in the list and what is to be said of it."""
    numbers = [entry.number for entry in chosen]
    place = numbers.index(opened.entry.number) if opened.entry.number in numbers else None
    before, after = None, None
    if place is not None:
        before = numbers[place - 1] if place else None
        after = numbers[place + 1] if place + 1 < len(numbers) else None
    return {
        **opened.entry.to_json(),
        "previous": before,
        "next": after,
        "place": place,
        "of": len(numbers),
        "sentences": opened.sentences,
    }


def _chosen(session: Session, request: Request) -> Sequence[ArchiveEntry]:
    """Return the slides that a request chooses, in its order.

    Raises:
        RefusedRequestError: there is no such order.
    """
    find, state = (request.query.get(name, "")[:_LONGEST_TEXT] for name in ("find", "state"))
    order = request.query.get("order", "name")
    if order not in ORDERS:
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, f"order: expected one of {', '.join(ORDERS)}")
    return archive_of(session).archive.chosen(find, state, order)


def _whole(request: Request, name: str, default: int) -> int:
    if name not in request.query:
        return default
    text = request.query[name]
    return Request((text,)).whole(0)
