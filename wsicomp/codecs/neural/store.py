"""Where models are found: by name or file to encode, by digest to decode.

A slide may carry its own decoder; other models are those that ship, those in the folders that the variable
WSICOMP_MODELS lists, and those that were kept: what was fetched, and what has made a slide here. A model
counts by its digest alone, which is computed from its tensors, so that it does not matter where it came from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock

from wsicomp.codecs.neural import zoo
from wsicomp.codecs.neural.model import SUFFIX, Model, claimed_digest, parse_model, read_model
from wsicomp.errors import ConfigError, SlideWriteError, UnknownModelError, WeightsError
from wsicomp.shipped import shipped_folder

SHIPPED = shipped_folder("models")
DEFAULTS = {"bmshj2018-factorized": "he-compact"}
"""The model that each architecture takes unless told otherwise."""

_DIGEST = re.compile("[0-9a-f]{64}")
_UNSAFE = re.compile(r"[^\w.-]", re.ASCII)

_known: dict[bytes, Model] = {}
_lock = RLock()


def folders() -> tuple[Path, ...]:
    """Where models are looked for: those that ship, WSICOMP_MODELS, and what was kept."""
    own = [Path(name) for name in os.environ.get("WSICOMP_MODELS", "").split(os.pathsep) if name]
    return (SHIPPED, *own, kept_folder())


def kept_folder() -> Path:
    """Where models are kept. No cache: slides may need them."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(base) / "wsicomp" / "models"


def shipped_models() -> dict[str, str]:
    """Return the digests that the models which ship say they have, by their names, but for damaged ones."""
    found = {}
    for file in sorted(SHIPPED.glob(f"*{SUFFIX}")):
        with suppress(WeightsError):
            found[file.stem] = claimed_digest(file)
    return found


def find_model(architecture: str, name: str | None) -> Model:
    """The model to encode with: one that `model_named` finds, or the one that ships for the architecture.

    Raises:
        ConfigError: none was named where none ships, or it is of another architecture.
        UnknownModelError, WeightsError, SlideWriteError: as `model_named`.
    """
    name = name or DEFAULTS.get(architecture)
    if name is None:
        example = f"a file, or {architecture}-mse-7" if architecture in zoo.ARCHITECTURES else "a file"
        raise ConfigError(f"no model ships for codec {architecture}; name one with --model: {example}")
    if zoo.is_known(name) and not name.startswith(f"{architecture}-"):
        raise ConfigError(f"model {name} is not for codec {architecture}")
    model = model_named(name, architecture)
    if model.card.architecture != architecture:
        found = model.card.architecture
        raise ConfigError(f"model {model.card.name} is for codec {found}, not {architecture}")
    return model


def model_named(name: str, architecture: str | None = None) -> Model:
    """A model by a file, by the name of one in `folders` or of one of CompressAI's, or by its digest.

    A checkpoint of CompressAI's does not say what it is: of it, `architecture` does.

    Raises:
        ConfigError: a checkpoint, and no architecture.
        UnknownModelError: there is none of that name, or it cannot be fetched.
        WeightsError: it is damaged, or could run code.
        SlideWriteError: what was fetched cannot be kept.
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
    """The model itself, kept for the tiles of this process that name it; a decoder alone replaces none."""
    with _lock:
        if model.can_encode or model.key not in _known:
            _known[model.key] = model
    return model


def embed(data: bytes, digest: str) -> Model:
    """The decoder that a slide carries; nothing else of what it carries is ever used.

    Raises:
        WeightsError: it is damaged, no model, or another one.
    """
    model = parse_model(data).decoder()
    if model.digest != digest:
        raise WeightsError(f"its SHA-256 is {model.digest}, expected {digest}")
    return remember(model)


def model_of(key: bytes, name: str = "") -> Model:
    """The model with which tiles were made; `key` is the beginning of its digest, or all of it.

    Raises:
        UnknownModelError: there is none; the message says which, and where it was looked for.
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
    """The file from which this machine will read a model's tiles: a copy is made if none is in `folders`.

    Raises:
        SlideWriteError: it cannot be written.
    """
    stored = _stored(model.digest)
    if stored is not None:
        return stored[0]
    name = f"{_UNSAFE.sub('_', model.card.name)[:64]}-{model.digest[:16]}{SUFFIX}"
    return _write(model, kept_folder() / name)


def _write(model: Model, path: Path) -> Path:
    """Several runs may do it at once: each gives the name to a whole file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            partial = Path(folder, path.name)
            with partial.open("wb") as file:
                file.write(model.to_bytes())
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
    except OSError as exc:
        raise SlideWriteError(
            f"the model cannot be kept there ({exc.strerror or exc}); name a folder that has it in "
            "WSICOMP_MODELS, or convert with --embed-model",
            path,
        ) from exc
    return path


def _stored(digest: str) -> tuple[Path, Model] | None:
    """The first sound file in `folders` whose model's digest begins like this, and that model."""
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


def _renew_lock() -> None:
    """A forked process has none of the threads that may hold it."""
    global _lock  # noqa: PLW0603
    _lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
