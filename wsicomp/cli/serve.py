"""`wsicomp serve`: serve an archive's originals to programs on this machine, over HTTP."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from wsicomp.cli.commands import Command
from wsicomp.cli.signals import ServingEndedError
from wsicomp.cli.text import say_anyway, show
from wsicomp.mount.options import TreeOptions
from wsicomp.mount.web.server import ArchiveServer
from wsicomp.options import argument, option

_EPILOG = """\
examples:
  wsicomp serve archive/ --port 8080 --no-token
      then http://127.0.0.1:8080/ lists the slides
  gdalinfo /vsicurl/http://127.0.0.1:8080/slide.svs
"""


@dataclass(frozen=True, kw_only=True)
class ServeCommandOptions:
    """Arguments of `wsicomp serve`."""

    archive: Path = argument("a batch's archive, any other folder, or one file")
    port: int = option(0, "listen on this port; 0 takes a free one", least=0, most=65_535)
    no_token: bool = option(False, "answer every user of this machine, and a proxy, without a token")
    allow_origin: str | None = option(
        None,
        "let pages of this origin ask in a browser, as https://viewer.lab; * lets any that know the token",
        metavar="ORIGIN",
    )
    json: bool = option(False, "print the address as a line of JSON")


def run_serve(options: ServeCommandOptions, how: TreeOptions) -> int:
    """Serve an archive over HTTP, as the original slides, to programs on this machine.

    Every restorable conversion is there as its original, under its old path and with its bytes, of which
    programs may ask for any range. Folders list what is in them, as a page or, to those who accept it or add
    ?json, as JSON. Links are left out. Only the loopback address is answered. The address that is printed
    begins with a random token, and whoever has it can ask; with --no-token every user of this machine can,
    and a proxy that adds names, TLS and other machines. Ctrl-C ends the command.
    """
    has_token = not options.no_token
    with ArchiveServer(options.archive, options.port, how, has_token, options.allow_origin) as server:
        if options.json:
            show(json.dumps({"address": server.address}) + "\n")
        else:
            say_anyway(f"{server.address}  (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            raise ServingEndedError(0) from None
    return 0


COMMANDS = (Command("serve", (ServeCommandOptions, TreeOptions), run_serve, epilog=_EPILOG),)
