"""`wsicomp view`: show slides beside their conversions in a browser."""

from __future__ import annotations

import json
import os
import sys
import webbrowser
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from wsicomp.cli.commands import Command
from wsicomp.cli.signals import ServingEndedError
from wsicomp.cli.text import say_anyway, show
from wsicomp.concurrency.threads import in_background
from wsicomp.errors import ConfigError
from wsicomp.files.inputs import is_folder
from wsicomp.options import argument, option
from wsicomp.text.figures import counted
from wsicomp.viewer.server import LOOPBACK, ViewerServer, ipaddress_of
from wsicomp.viewer.session import MOST_SIDE_BY_SIDE, Session, ViewOptions

_EPILOG = """\
examples:
  wsicomp view slide.svs small.svs
      show a slide beside its conversion
  wsicomp view slide.svs jpeg.svs neural.tiff --mask mask.png
      show two conversions, and the tissue mask over them
  wsicomp view archive/
      show what a batch made of each slide, and open any beside its source
"""

_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
"""The variables that name a screen, or the browser to open."""


@dataclass(frozen=True, kw_only=True)
class ViewCommandOptions:
    """Arguments of `wsicomp view`."""

    slide: Path = argument("the slide to show, or a folder: a batch's archive or any other", metavar="SLIDE")
    converted: tuple[Path, ...] = argument("its conversions, up to three", (), metavar="CONVERTED")
    mask: Path | None = option(None, "show this tissue mask over the slides", metavar="FILE")
    annotations: tuple[Path, ...] = option(
        (), "show these outlines, as QuPath exports them", metavar="GEOJSON"
    )
    show_label: bool = option(False, "show label and macro too, which can name a patient")
    host: str = option(
        LOOPBACK, "listen on this address; on any other than this machine's own, others see it"
    )
    port: int = option(0, "listen on this port; 0 takes a free one", least=0, most=65_535)
    no_browser: bool = option(False, "print the address, and open no browser")
    json: bool = option(False, "print the address as a line of JSON")


def run_view(options: ViewCommandOptions) -> int:
    """Show a slide in the browser, beside its conversions.

    The page shows them side by side, under a curtain, in turn, or as their difference, and what became of
    each tile. Of a folder it lists the slides, those of a batch's archive with what became of them; each
    opens beside its source. Nothing is written. The address that is printed holds a random token: whoever
    has it, and reaches this machine, sees the slides. Ctrl-C ends the command.
    """
    if len(options.converted) >= MOST_SIDE_BY_SIDE:
        found = counted(1 + len(options.converted), "slide")
        raise ConfigError(f"{found}; expected at most {MOST_SIDE_BY_SIDE} side by side")
    shown = ViewOptions(options.mask, options.annotations, options.show_label)
    with closing(Session(shown)) as session:
        if is_folder(options.slide):
            _check_folder(options)
            from wsicomp.viewer.folder.archive_slides import show_archive

            show_archive(session, options.slide)
        else:
            shown.check()
            session.open(options.slide, options.converted)
            _say_doubts(session)
        with ViewerServer(session, options.host, options.port) as server:
            opened = "" if options.no_browser else server.address
            serve_until_stopped(server, lambda: _say(server, options), opened)
    return 0


def serve_until_stopped(
    server: ViewerServer, announce: Callable[[], None], opened: str, code: int = 0
) -> None:
    """Announce a server, and serve until Ctrl-C; open the browser at an address, "" for none.

    Raises:
        ServingEndedError: it was stopped; `code` is then the command's exit code.
    """
    try:
        announce()
        if opened:
            in_background(lambda: _open_browser(opened))
        server.serve_forever()
    except KeyboardInterrupt:
        raise ServingEndedError(code) from None


def _open_browser(address: str) -> None:
    """Open an address in the browser, or say that there is none.

    Without a screen none is looked for: what is found there would be a text browser, in this very terminal.
    """
    has_screen = sys.platform == "darwin" or any(map(os.environ.get, _SCREENS))
    if not (has_screen and webbrowser.open(address)):
        say_anyway("no browser was found here: open the address in one", file=sys.stderr)


def _check_folder(options: ViewCommandOptions) -> None:
    given = {"CONVERTED": options.converted, "--mask": options.mask, "--annotations": options.annotations}
    for name, value in given.items():
        if value:
            raise ConfigError(f"{name} is for one slide, and SLIDE is a folder; leave it out")


def _say_doubts(session: Session) -> None:
    for viewed in session.slides.values():
        if viewed.doubt:
            say_anyway(f"note: {viewed.name}: {viewed.doubt}", file=sys.stderr)


def _say(server: ViewerServer, options: ViewCommandOptions) -> None:
    if options.json:
        # One line: whoever reads it does not wait for more.
        show(json.dumps({"address": server.address}) + "\n")
        return
    say_anyway(f"{server.address}  (Ctrl-C ends it)")
    if not ipaddress_of(options.host).is_loopback:
        say_anyway("other machines reach it: whoever has this address sees the slides")


COMMANDS = (Command("view", (ViewCommandOptions,), run_view, epilog=_EPILOG),)
