"""Find models: by name or file to encode, by digest to decode.

A slide may carry its own decoder. Other models are those that ship, those in the folders that the variable
WSICOMP_MODELS lists, and those that were kept: fetched ones, and those that made a slide here. Only a model's
digest counts, which is computed from its tensors, so it does not matter where the model came from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from wsicomp.codecs.neural import zoo
from wsicomp.codecs.neural.model import SUFFIX, Model, claimed_digest, parse_model, read_model
from wsicomp.concurrency.forks import ForkLock
from wsicomp.errors import ConfigError, SlideWriteError, UnknownModelError, WeightsError
from wsicomp.files.shipped import shipped_folder
from wsicomp.files.unfinished import temporary_folder

SHIPPED = shipped_folder("models")
DEFAULTS = {"bmshj2018-factorized": "he-compact"}
"""The model that each architecture uses by default."""

_DIGEST = re.compile("[0-9a-f]{64}")
_UNSAFE = re.compile(r"[^\w.-]", re.ASCII)

_known: dict[bytes, Model] = {}
_lock = ForkLock()


def folders() -> tuple[Path, ...]:
    """Return the folders that are searched: models that ship, WSICOMP_MODELS, and kept models."""
    own = [Path(name) for name in os.environ.get("WSICOMP_MODELS", "").split(os.pathsep) if name]
    return (SHIPPED, *own, kept_folder())


def kept_folder() -> Path:
    """Return the folder of kept models. It is no cache: slides may need its files."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(base) / "wsicomp" / "models"


def shipped_models() -> dict[str, str]:
    """Return the digests that the shipped models state, by the models' names; damaged ones are left out."""
    found = {}
    for file in sorted(SHIPPED.glob(f"*{SUFFIX}")):
        with suppress(WeightsError):
            found[file.stem] = claimed_digest(file)
    return found


def find_model(architecture: str, name: str | None) -> Model:
    """Return the model to encode with: the one named, or the one that ships for the architecture.

    Raises:
        ConfigError: no model is named and none ships, or the model is of another architecture.
        UnknownModelError: no model has that name, or it cannot be fetched.
        WeightsError: the model is damaged, or could run code.
        SlideWriteError: a fetched model cannot be kept.
    """
    name = name or DEFAULTS.get(architecture)
    if name is None:
        example = f"a file, or {architecture}-mse-7" if architecture in zoo.ARCHITECTURES else "a file"
        raise ConfigError(f"no model ships for codec {architecture}; name one with `model`: {example}")
    if zoo.is_known(name) and not name.startswith(f"{architecture}-"):
        raise ConfigError(f"model {name} is not for codec {architecture}")
    model = model_named(name, architecture)
    if model.card.architecture != architecture:
        found = model.card.architecture
        raise ConfigError(f"model {model.card.name} is for codec {found}, not {architecture}")
    return model


def model_named(name: str, architecture: str | None = None) -> Model:
    """Return the model with this name.

    `name` is a path, a file's name in `folders`, a name of CompressAI's, or a digest.

    A checkpoint of CompressAI's does not state its architecture, so `architecture` must.

    Raises:
        ConfigError: the file is a checkpoint, and no architecture is given.
        UnknownModelError: no model has that name, or it cannot be fetched.
        WeightsError: the model is damaged, or could run code.
        SlideWriteError: a fetched model cannot be kept.
    """
    if _DIGEST.fullmatch(name):
        return model_of(bytes.fromhex(name))
    for file in _files():
        if file.stem == name:
            return remember(read_model(file))
    path = Path(name)
    if path.suffix == SUFFIX:
        return remember(read_model(path))
    if path.suffix or path.name != name:
        if architecture is None:
            raise ConfigError(
                f"{name} does not say its architecture; give a {SUFFIX} file, or the codec with it"
            )
        return remember(zoo.read_checkpoint(path, architecture))
    if zoo.is_known(name):
        model = zoo.fetch(name)
        _write(model, kept_folder() / f"{name}{SUFFIX}")
        return remember(model)
    there = ", ".join(sorted({file.stem for file in _files()})) or "none"
    raise UnknownModelError(
        f"unknown model {name!r}; there are {there} in {_places()}, and CompressAI's, as {zoo.EXAMPLE}"
    )


def remember(model: Model) -> Model:
    """Keep the model for the tiles of this process that name it, and return it.

    A decoder alone never replaces a whole model.
    """
    with _lock:
        if model.can_encode or model.key not in _known:
            _known[model.key] = model
    return model


def embed(data: bytes, digest: str) -> Model:
    """Load the decoder that a slide carries; nothing else that it carries is used.

    Raises:
        WeightsError: the bytes are damaged, no model, or another model than `digest`.
    """
    model = parse_model(data).decoder()
    if model.digest != digest:
        raise WeightsError(f"its SHA-256 is {model.digest}, expected {digest}")
    return remember(model)


def model_of(key: bytes, name: str = "") -> Model:
    """Return the model that made a tile.

    `key` is its digest or the beginning of it, `name` its name for the error.

    Raises:
        UnknownModelError: the model is not on this machine; the message says where it was looked for.
    """
    with _lock:
        found = _known.get(key[:8])
        if found is not None and found.digest.startswith(key.hex()):
            return found
        stored = _stored(key.hex())
        if stored is not None:
            return remember(stored[1])
    called = f"model {name} (SHA-256 {key.hex()})" if name else f"the model with SHA-256 {key.hex()}..."
    raise UnknownModelError(
        f"{called} is not here; looked in {_places()}; put its {SUFFIX} file into a folder that "
        "WSICOMP_MODELS names"
    )


def keep(model: Model) -> Path:
    """Return a model's file on this machine; write one into `kept_folder` if `folders` have none.

    Raises:
        SlideWriteError: the file cannot be written.
    """
    stored = _stored(model.digest)
    if stored is not None:
        return stored[0]
    name = f"{_UNSAFE.sub('_', model.card.name)[:64]}-{model.digest[:16]}{SUFFIX}"
    return _write(model, kept_folder() / name)


def _write(model: Model, path: Path) -> Path:
    """Write a model file. Several runs may do so at once: each renames a complete file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(".", path.parent) as folder:
            partial = folder / path.name
            with partial.open("wb") as file:
                file.write(model.to_bytes())
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
    except OSError as exc:
        raise SlideWriteError(
            f"the model cannot be kept there ({exc.strerror or exc}); name a folder that has it in "
            "WSICOMP_MODELS, or convert with `embed_model=True`",
            path,
        ) from exc
    return path


def _stored(digest: str) -> tuple[Path, Model] | None:
    """Return the first sound file in `folders` whose model's digest begins like this, and that model."""
    for file in _files():
        try:
            if claimed_digest(file).startswith(digest):
                model = read_model(file)
                if model.digest.startswith(digest):
                    return file, model
        except WeightsError:
            continue  # another file may be the one
    return None


def _files() -> Iterator[Path]:
    for folder in folders():
        if folder.is_dir():
            yield from sorted(folder.glob(f"*{SUFFIX}"))


def _places() -> str:
    return ", ".join(str(folder) for folder in folders())
