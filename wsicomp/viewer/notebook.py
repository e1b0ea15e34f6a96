"""The viewer in a notebook: slides in the frame of a cell, served by this very process."""

from __future__ import annotations

import atexit
import html
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from types import TracebackType

from openslide import AbstractSlide

from wsicomp.errors import ConfigError
from wsicomp.files.inputs import given_path
from wsicomp.openslide_api.slide import WsicompSlide
from wsicomp.text.figures import counted
from wsicomp.viewer.pictures.shown_slide import AbstractPixels, ShownSlide, open_shown
from wsicomp.viewer.server import LOOPBACK, ViewerServer
from wsicomp.viewer.session import MOST_SIDE_BY_SIDE, Session, ViewOptions

StrPath = str | os.PathLike[str]


class NotebookView:
    """Slides that are shown in a browser until `close` is called or the interpreter ends.

    As the last value of a notebook's cell it is a frame with the slides in it. It is a context manager too.

    `address`, the frame and `repr` hold a random token: whoever has it, and reaches this machine, sees the
    slides as long as they are shown. A saved notebook holds the token too, of no use once this is closed.
    """

    def __init__(self, session: Session, port: int, height: int) -> None:
        self._session = session
        self._server = ViewerServer(session, LOOPBACK, port, in_notebook=True)
        self._height = height
        self._is_open = True
        self._thread = Thread(target=self._serve, name="wsicomp-view-server", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def address(self) -> str:
        """The address of the page, which any browser on this machine can open."""
        return self._server.address

    def close(self) -> None:
        """Stop to show the slides, and close their files; slides that were given open stay open."""
        if self._is_open:
            self._is_open = False
            atexit.unregister(self.close)
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._session.close()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.1)

    def __enter__(self) -> NotebookView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = self.address if self._is_open else "closed"
        return f"<{type(self).__name__}: {state}>"

    def _repr_html_(self) -> str:
        """Return the frame that a notebook shows, with a link for where frames are not shown."""
        if not self._is_open:
            return "<p>The slides are not shown any more: the view is closed.</p>"
        address = html.escape(self.address)
        return (
            f'<iframe src="{address}" title="Slides" width="100%" height="{self._height}" '
            'style="border: 0" allow="clipboard-write; fullscreen"></iframe>'
            f'<p><a href="{address}" target="_blank" rel="noopener">The slides in a tab of their own</a></p>'
        )


def view(
    slide: StrPath | AbstractSlide,
    *converted: StrPath | AbstractSlide,
    mask: StrPath | None = None,
    annotations: Iterable[StrPath] = (),
    show_label: bool = False,
    port: int = 0,
    height: int = 720,
) -> NotebookView:
    """Show a slide beside its conversions: in a notebook's cell, or in a browser on this machine.

    Nothing is written, and nobody but this machine reaches it. A browser elsewhere, as that of a notebook on
    a server, reaches it through a tunnel to `port`.

    Args:
        slide: The slide: a file, or an open `openslide.AbstractSlide`, which must stay open.
        converted: Its conversions, up to three. Of a `WsicompSlide` the file is opened once more; of any
            other open slide the pixels are shown that it reads.
        mask: A file of the tissue mask to show over the slides.
        annotations: Files of outlines in GeoJSON, as QuPath exports them.
        show_label: Whether label and macro are shown, which can name a patient.
        port: The port to listen on; 0 for any that is free.
        height: The height of the frame in px.

    Raises:
        ConfigError: There are more than four slides, the port is taken, or a file of the mask or of
            outlines is not there.
        SlideReadError: A file is not there, is damaged, or nothing here reads it.

    Examples:
        >>> wsicomp.view("slide.svs", "small.svs")  # doctest: +SKIP
        <NotebookView: http://127.0.0.1:40123/vY2nPUXhYGhcTTeDrw8EVA/>

        >>> with wsicomp.view("slide.svs", "small.svs") as shown:  # doctest: +SKIP
        ...     webbrowser.open(shown.address)
        ...     input("Enter ends it")
    """
    if len(converted) >= MOST_SIDE_BY_SIDE:
        found = counted(1 + len(converted), "slide")
        raise ConfigError(f"{found}; expected at most {MOST_SIDE_BY_SIDE} side by side")
    if not 100 <= height <= 10_000:
        raise ConfigError(f"a frame {height} px high, expected 100 to 10000 px")
    if not 0 <= port <= 65_535:
        raise ConfigError(f"port {port}, expected 0 to 65535")
    outlines = tuple(given_path(each, ConfigError) for each in annotations)
    tissue = None if mask is None else given_path(mask, ConfigError)
    options = ViewOptions(tissue, outlines, show_label)
    options.check()
    session = Session(options)
    try:
        _open(session, slide, converted)
        return NotebookView(session, port, height)
    except BaseException:
        session.close()
        raise


def _open(
    session: Session, slide: StrPath | AbstractSlide, converted: Iterable[StrPath | AbstractSlide]
) -> None:
    """Open the slides in a session; a slide of several focal planes in that of the first conversion."""
    others: list[ShownSlide] = []
    try:
        others.extend(map(_shown, converted))
        planes = (each.info.z for each in others if each.slide.provenance is not None)
        source = session.add(_shown(slide, next(planes, None)))
    except BaseException:
        for each in others:
            each.close()
        raise
    for each in others:
        session.add(each, source)


def _shown(slide: StrPath | AbstractSlide, z: int | None = None) -> ShownSlide:
    if isinstance(slide, WsicompSlide):
        return open_shown(given_path(os.fsdecode(slide.filename)), z)
    if isinstance(slide, AbstractSlide):
        return ShownSlide(AbstractPixels(slide, _path_of(slide)))
    return open_shown(given_path(slide), z)


def _path_of(slide: AbstractSlide) -> Path:
    """Return the path of an open slide's file, as far as it has one; else what it is called by."""
    name = getattr(slide, "_filename", None)  # openslide keeps it there alone
    with suppress(TypeError):
        return Path(os.fsdecode(name or type(slide).__name__))
    return Path(type(slide).__name__)
