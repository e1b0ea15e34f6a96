"""The options of a mount, and of a server."""

from __future__ import annotations

from dataclasses import dataclass

from wsicomp.options import checked_fields, option


@dataclass(frozen=True, kw_only=True)
class TreeOptions:
    """How an archive's tree is read.

    Raises:
        ConfigError: a value is out of its range.
    """

    cache_mb: int = option(
        256,
        "keep at most so many MB of rebuilt tiles, of all files together",
        metavar="N",
        least=1,
        most=1 << 20,
    )
    timeout_s: float = option(
        60.0,
        "tell programs of an error where the archive's file system does not answer for so many seconds",
        metavar="S",
        least=0.1,
        most=86_400,
    )

    def __post_init__(self) -> None:
        checked_fields(self)


@dataclass(frozen=True, kw_only=True)
class MountOptions(TreeOptions):
    """The options of a mount.

    Raises:
        ConfigError: a value is out of its range.
    """

    allow_other: bool = option(False, "let other users in too, as far as the modes of the files allow")
