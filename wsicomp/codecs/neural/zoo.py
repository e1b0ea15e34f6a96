"""CompressAI's pretrained networks.

Fetched by name where there is a network, or read from its checkpoint files.

A checkpoint is a pickle. torch reads it with `weights_only`, which refuses everything but tensors, and the
result is kept as a model of our own. Names are ARCHITECTURE-METRIC-QUALITY, as mbt2018-mean-mse-7.
"""

from __future__ import annotations

import pickle
import re
import sys
import warnings
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np

from wsicomp.codecs.neural.entropy import ClassedTables, SymbolTables
from wsicomp.codecs.neural.extra import extra_installed
from wsicomp.codecs.neural.model import Model, ModelCard, check_bytes, create_model, table_tensors
from wsicomp.errors import UnknownModelError, WeightsError
from wsicomp.files.inputs import check_file, reason
from wsicomp.files.unfinished import temporary_folder
from wsicomp.version import SOFTWARE

ARCHITECTURES = ("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean")
"""Architectures with pretrained networks of CompressAI's."""

EXAMPLE = "mbt2018-mean-mse-7 (metric mse or ms-ssim, quality 1 to 8)"
"""An example of a name, for messages."""

_HASH = re.compile(r"-([0-9a-f]{8,})\.")
"""The end of a checkpoint's name: the beginning of its SHA-256."""
_NAME = re.compile(rf"({'|'.join(ARCHITECTURES)})-(mse|ms-ssim)-([1-8])")


def is_known(name: str) -> bool:
    """Return whether CompressAI has a network of this name.

    >>> is_known("mbt2018-mean-mse-7"), is_known("mbt2018-mean")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


def fetch(name: str) -> Model:
    """Return one of CompressAI's networks from its host, its hash checked.

    Raises:
        UnknownModelError: the network cannot be fetched; the message says what to do.
        WeightsError: the host sent another file.
        CodecUnavailableError: the extra is not installed.
    """
    with extra_installed(f"model {name}"):
        import torch.hub  # noqa: PLC0415
        from compressai.zoo.image import model_urls  # noqa: PLC0415

    match = _NAME.fullmatch(name)
    assert match is not None, "the caller has asked"
    architecture, metric, quality = match.groups()
    url = model_urls[architecture][metric][int(quality)]
    try:
        with temporary_folder() as folder:
            path = folder / "checkpoint"
            digits = _HASH.findall(url)[-1]
            torch.hub.download_url_to_file(url, str(path), digits, progress=sys.stderr.isatty())
            state = torch.load(path, "cpu", weights_only=True)
    except (URLError, OSError) as exc:
        reason = getattr(exc, "reason", None) or exc
        raise UnknownModelError(
            f"model {name} cannot be fetched ({reason}); fetch {url} where there is a network, "
            "and give that file with `model`"
        ) from exc
    except (RuntimeError, pickle.UnpicklingError, EOFError) as exc:
        raise WeightsError(f"{url} sent another file than expected; try again later") from exc
    return _model(state, architecture, name, f"CompressAI's pretrained network, {metric}, quality {quality}")


def read_checkpoint(path: Path, architecture: str) -> Model:
    """Return a checkpoint of CompressAI's as a model.

    Raises:
        WeightsError: the file cannot be read, could run code, or is no network of that architecture.
        CodecUnavailableError: the extra is not installed.
    """
    check_file(path, WeightsError)
    with extra_installed(f"checkpoint {path.name}"):
        import compressai  # noqa: F401, PLC0415
        import torch  # noqa: PLC0415

    try:
        check_bytes(path.stat().st_size, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of pickles before it refuses them
            state = torch.load(path, "cpu", weights_only=True)
    except OSError as exc:
        raise WeightsError(reason(exc), path) from exc
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError) as exc:
        message = "not a torch checkpoint of weights only; refused, since others can run code"
        raise WeightsError(message, path) from exc
    name = path.name.split(".")[0]
    return _model(state, architecture, name, "as its checkpoint was trained", path)


def _model(state: Any, architecture: str, name: str, quality: str, path: Path | None = None) -> Model:
    import torch  # noqa: PLC0415
    from compressai.zoo.pretrained import load_pretrained  # noqa: PLC0415

    try:
        state = load_pretrained(dict(state.get("state_dict", state)))
        if not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
            raise WeightsError("holds more than tensors", path)
        if any(name.endswith("_quantized_cdf") and not tensor.numel() for name, tensor in state.items()):
            raise WeightsError("has no tables; call the network's update() and save it again", path)
        check_bytes(sum(tensor.numel() * tensor.element_size() for tensor in state.values()), path)
        tensors = {key: tensor.detach().numpy() for key, tensor in state.items()}
        settings: dict[str, Any]
        if architecture == "bmshj2018-factorized":
            settings, tensors = {"nonlinearity": "gdn"}, _factorized_tensors(tensors)
        else:
            settings = _settings(tensors, architecture)
    except WeightsError:
        raise
    except (LookupError, AttributeError, TypeError, ValueError, RuntimeError) as exc:
        raise WeightsError(f"no network {architecture} ({_line(exc)})", path) from exc
    card = ModelCard(name, architecture, settings, (1.0,), 0, quality, "not stated", "not stated", SOFTWARE)
    return create_model(card, tensors)


def _factorized_tensors(state: dict[str, Any]) -> dict[str, Any]:
    """Return a factorised prior's state as tensors of a model.

    Transforms, medians, a table for each channel.
    """
    tensors = {name: tensor for name, tensor in state.items() if name.startswith(("g_a.", "g_s."))}
    tensors = {name: tensor for name, tensor in tensors.items() if "reparam" not in name}
    buffers = (state[f"entropy_bottleneck.{name}"] for name in ("_quantized_cdf", "_cdf_length", "_offset"))
    tables = SymbolTables.from_cdf(*buffers)
    of = np.arange(len(tables), dtype=np.int32)[None]
    tensors |= table_tensors(0, ClassedTables(tables, of, None))
    return tensors | {"medians": state["entropy_bottleneck.quantiles"][:, 0, 1].copy()}


def _settings(tensors: dict[str, Any], architecture: str) -> dict[str, Any]:
    last = max(int(name.split(".")[1]) for name in tensors if name.startswith("g_s."))
    channels = int(tensors[f"g_s.{last}.weight"].shape[0])
    if architecture != "elic2022-chandelier":
        return {"N": channels, "M": int(tensors["g_s.0.weight"].shape[0])}
    groups: list[int] = []
    while (name := f"latent_codec.y.latent_codec.y{len(groups)}.context_prediction.weight") in tensors:
        groups.append(int(tensors[name].shape[1]))
    return {"N": channels, "M": sum(groups), "groups": groups}


def _line(exc: Exception) -> str:
    return " ".join(str(exc).split())[:160]
