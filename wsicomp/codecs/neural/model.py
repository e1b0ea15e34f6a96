"""Model files: a network's card and tensors, and the digest by which tiles and slides identify it.

A model is one safetensors file, which holds numbers and text and cannot run code. Its metadata has the card
as JSON. The SHA-256 of everything that decides how tiles decode (all tensors but the encoder's) is the
model's digest. The encoder can therefore be left out of a slide that carries its own decoder.

Source: the safetensors format, 8 bytes of header length, a JSON header, then the tensors' bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import safetensors.numpy
from msgspec import Meta
from numpy.typing import NDArray
from safetensors import SafetensorError

from wsicomp.codecs.neural.entropy import ClassedTables, SymbolTables
from wsicomp.concurrency.forks import fork_safe_property
from wsicomp.errors import WeightsError
from wsicomp.files.inputs import check_file, reading
from wsicomp.files.json_values import Natural, Positive, json_of, parsed

FORMAT = "wsicomp codec model 1"
SUFFIX = ".safetensors"
_CARD, _DIGEST = "wsicomp", "sha256"
"""Keys of the metadata: the card as JSON, and the digest that the tensors must have."""
_MOST_BYTES = 1 << 29
"""The largest model or checkpoint: several times CompressAI's largest."""
_MOST_HEADER = 1 << 24
_MOST_STEPS = 64

Tensors = Mapping[str, NDArray[Any]]
"""Arrays by the names that CompressAI gives them."""


@dataclass(frozen=True)
class ModelCard:
    """The card of a model: its own statements about itself."""

    name: str
    """The model's name."""
    architecture: str
    """The name of its network: one of the codecs."""
    settings: Mapping[str, Any]
    """The arguments of its network."""
    steps: Annotated[tuple[Positive, ...], Meta(min_length=1, max_length=_MOST_STEPS)]
    """The quantisation steps that it can be used with, from coarse to fine."""
    step: Natural
    """The index in `steps` that is used by default."""
    quality: str
    """What it was trained to reach, in words."""
    trained_on: str
    """The training data, in words."""
    licence: str
    """The model's licence."""
    software: str
    """The software that made the file."""

    def to_json(self) -> dict[str, Any]:
        """Return the card as JSON values."""
        return {"format": FORMAT, **asdict(self), "steps": list(self.steps)}


@dataclass(frozen=True)
class Model:
    """A model: card, tensors and digest."""

    card: ModelCard
    """What the model says of itself."""
    tensors: Tensors = field(repr=False)
    """Arrays by the names that CompressAI gives them."""
    digest: str
    """SHA-256 of everything that decides how tiles decode, hexadecimal."""

    @property
    def key(self) -> bytes:
        """The first 8 bytes of the digest, by which tiles identify their model."""
        return bytes.fromhex(self.digest)[:8]

    @property
    def can_encode(self) -> bool:
        """Whether the encoder's tensors are there."""
        return any(is_encoder(name) for name in self.tensors)

    @fork_safe_property
    def encoder_digest(self) -> str:
        """SHA-256 of the encoder's tensors, hexadecimal.

        It and `digest` decide which bytes a tile becomes.
        """
        return _tensors_digest({name: tensor for name, tensor in self.tensors.items() if is_encoder(name)})

    def decoder(self) -> Model:
        """Return the model without its encoder."""
        kept = {name: tensor for name, tensor in self.tensors.items() if not is_encoder(name)}
        return Model(self.card, kept, self.digest)

    def to_bytes(self) -> bytes:
        """Return the model as a safetensors file."""
        tensors = {name: np.ascontiguousarray(tensor) for name, tensor in self.tensors.items()}
        metadata = {_CARD: json.dumps(self.card.to_json(), sort_keys=True), _DIGEST: self.digest}
        return bytes(safetensors.numpy.save(tensors, metadata))


def is_encoder(name: str) -> bool:
    """Return whether a tensor of this name is needed for encoding only."""
    return name.startswith("g_a.") or ".h_a." in f".{name}"


def create_model(card: ModelCard, tensors: Tensors) -> Model:
    """Return a model of these tensors, with its digest."""
    decisive = [card.architecture, dict(card.settings), list(card.steps)]
    decoder = {name: tensor for name, tensor in tensors.items() if not is_encoder(name)}
    return Model(card, dict(tensors), _tensors_digest(decoder, json.dumps(decisive, sort_keys=True)))


def _tensors_digest(tensors: Tensors, text: str = "") -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()


def table_tensors(step: int, found: ClassedTables) -> Tensors:
    """Return the tables of a step as tensors of a model, which `read_tables` reads.

    `step` is the step's index in the model's list, from 0.
    """
    tensors = {
        "frequencies": np.concatenate(found.tables.frequencies).astype(np.uint16),
        "lengths": np.array([len(table) for table in found.tables.frequencies], np.uint16),
        "offsets": found.tables.offsets.astype(np.int16),
        "of": found.of.astype(np.uint16),
    }
    if found.classes is not None:
        tensors["classes"] = found.classes.frequencies[0].astype(np.uint16)
    return {f"tables.{step}.{name}": tensor for name, tensor in tensors.items()}


def read_tables(tensors: Tensors, step: int) -> ClassedTables:
    """Return the tables of a step; `step` is its index in the model's list, from 0.

    Raises:
        ValueError: the tensors are no such tables.
        LookupError: a tensor is missing.
    """
    flat, lengths, offsets, of = (
        tensors[f"tables.{step}.{name}"] for name in ("frequencies", "lengths", "offsets", "of")
    )
    classes = tensors.get(f"tables.{step}.classes")
    kinds = None if classes is None else SymbolTables((classes.astype(np.int32),), np.zeros(1, np.int32))
    return ClassedTables(SymbolTables.from_flat(flat, lengths, offsets), of.astype(np.int32), kinds)


def read_model(path: Path) -> Model:
    """Return the model in a file.

    Raises:
        WeightsError: the file cannot be read, or is no sound model.
    """
    check_file(path, WeightsError)
    with reading(path, WeightsError):
        check_bytes(path.stat().st_size, path)
        return parse_model(path.read_bytes(), path)


def check_bytes(count: int, path: Path | None) -> None:
    """Refuse a file that is too large for a model.

    Raises:
        WeightsError: the file has more than 2^29 bytes.
    """
    if count > _MOST_BYTES:
        raise WeightsError(f"{count} bytes, expected at most {_MOST_BYTES}", path)


def claimed_digest(path: Path) -> str:
    """Return the digest that a model file states, to find one among many; only loading the file verifies it.

    Raises:
        WeightsError: the file cannot be read, or is no model.
    """
    return _metadata(_header_of(path), path).get(_DIGEST, "")


def _header_of(path: Path) -> bytes:
    check_file(path, WeightsError)
    with reading(path, WeightsError), path.open("rb") as file:
        return file.read(min(int.from_bytes(file.read(8), "little"), _MOST_HEADER))


def parse_model(data: bytes, path: Path | None = None) -> Model:
    """Return the model in a file's bytes; `path` names the file in errors.

    Raises:
        WeightsError: the bytes are no model, are damaged, or have another digest than they state.
    """
    if data[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):
        message = "a pickle, which could run code when it is loaded; expected safetensors"
        raise WeightsError(message, path)
    check_bytes(len(data), path)
    header = data[8 : 8 + min(int.from_bytes(data[:8], "little"), _MOST_HEADER)]
    card, claimed = _card(header, path), _metadata(header, path).get(_DIGEST)
    try:
        model = create_model(card, safetensors.numpy.load(data))
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise WeightsError(f"damaged ({exc})", path) from exc
    if claimed != model.digest:
        raise WeightsError(f"damaged: its SHA-256 is {model.digest}, expected {claimed}", path)
    return model


def _metadata(header: bytes, path: Path | None) -> dict[str, str]:
    try:
        found = json.loads(header)["__metadata__"]
        return {str(name): str(text) for name, text in found.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        raise WeightsError(f"not a codec model ({type(exc).__name__})", path) from exc


def _card(header: bytes, path: Path | None) -> ModelCard:
    metadata = _metadata(header, path)
    try:
        values = json_of(metadata[_CARD])
        found = values.pop("format")
        if found != FORMAT:
            raise WeightsError(f"format {found!r:.60}, expected {FORMAT!r}", path)
        card = parsed(values, ModelCard, is_closed=True)
        if card.step >= len(card.steps):
            raise ValueError(f"step {card.step} of {len(card.steps)}")
    except WeightsError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as exc:
        raise WeightsError(f"not a codec model ({type(exc).__name__}: {exc})"[:200], path) from exc
    return card
