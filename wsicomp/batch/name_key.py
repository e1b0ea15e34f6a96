"""The key of a batch whose targets are named by digests.

It is a file apart from both trees that says which source each target is of.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsicomp.errors import ConfigError, SlideWriteError
from wsicomp.files.atomic import completed_file
from wsicomp.files.inputs import check_file, reason

_SECRET_BYTES = 32


def check_key_path(path: Path, source: Path, target: Path) -> Path:
    """Return the absolute path of the key, after checking it.

    Raises:
        ConfigError: the path lies inside a tree that may be handed on, or the file there is no key.
    """
    place = path.absolute().resolve()
    for tree in (source.absolute().resolve(), target.absolute().resolve()):
        if tree == place or tree in place.parents:
            message = f"the key {path} lies in {tree}, expected a place apart from both trees"
            raise ConfigError(f"{message}; name another file")
    if place.exists():
        _read(place)
    elif not place.parent.is_dir():
        raise ConfigError("its folder does not exist; make it first", place)
    return place


def make_key(path: Path) -> None:
    """Write a new key where there is none.

    Raises:
        ConfigError: the file cannot be written.
    """
    if not path.exists():
        _write(path, {"secret": secrets.token_hex(_SECRET_BYTES), "names": {}})


def read_secret(path: Path) -> bytes:
    """Return the secret in the key file `path`; a new random one, which is not stored, if there is no file.

    Raises:
        ConfigError: the file is no key.
    """
    if not path.exists():
        return secrets.token_bytes(_SECRET_BYTES)
    return bytes.fromhex(_read(path)["secret"])


def add_names(path: Path, names: Mapping[str, str]) -> None:
    """Add targets, each with its source, to the key file `path`.

    Raises:
        ConfigError: the key cannot be read or written.
    """
    values = _read(path)
    if names.items() <= values["names"].items():
        return
    _write(path, {**values, "names": {**values["names"], **names}})


def read_names(path: Path) -> dict[str, str]:
    """Return the source of each target in the key file `path`; none where there is no file yet.

    Raises:
        ConfigError: the file is no key.
    """
    names = _read(path)["names"] if path.exists() else {}
    return {target: source for target, source in names.items() if isinstance(source, str)}


def _read(path: Path) -> dict[str, Any]:
    check_file(path, ConfigError)
    try:
        values = json.loads(path.read_text("utf-8"))
        if len(bytes.fromhex(values["secret"])) == _SECRET_BYTES and isinstance(values["names"], dict):
            return dict(values)
    except OSError as exc:
        raise ConfigError(reason(exc), path) from exc
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    raise ConfigError(
        "is not a key (a secret and names) that wsicomp wrote; name another file, or a new one", path
    )


def _write(path: Path, values: Mapping[str, Any]) -> None:
    """Replace the file in one step; only its owner can read it."""
    try:
        with completed_file(path, overwrite=True) as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(json.dumps(values, indent=1).encode())
    except SlideWriteError as exc:
        raise ConfigError(exc.message, path) from exc
