"""Build the network of a model's architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from wsicomp.codecs.neural.model import Model
from wsicomp.codecs.neural.networks import FactorizedNetwork, Network
from wsicomp.errors import SlideReadError, WeightsError


def build_network(model: Model, device: str) -> Network:
    """Return the model on a device, with its encoder if it has one.

    Raises:
        WeightsError: the architecture is unknown, or the model's tensors are not those of it.
        SlideReadError: there is no memory for the model.
    """
    build = ARCHITECTURES.get(model.card.architecture)
    if build is None:
        known = ", ".join(ARCHITECTURES)
        raise WeightsError(f"model {model.card.name}: {model.card.architecture!r}, expected one of {known}")
    try:
        return build(model, torch.device(device))
    except (MemoryError, torch.OutOfMemoryError) as exc:
        raise cannot_run(exc) from exc
    except Exception as exc:  # a file can make torch raise anything
        reason = " ".join(str(exc).split())[:200]
        raise WeightsError(f"model {model.card.name}: no {model.card.architecture} ({reason})") from exc


def cannot_run(exc: Exception) -> SlideReadError:
    """Return the error for a model that is here and cannot run, which is no fault of the slide."""
    reason = " ".join(str(exc).split())[:200] or type(exc).__name__
    return SlideReadError(
        f"its model cannot run on this machine ({reason}); set WSICOMP_DEVICE=cpu to run it without a GPU"
    )


def _hyper(model: Model, device: torch.device) -> Network:
    from wsicomp.codecs.neural.hyper import HyperNetwork  # noqa: PLC0415 - CompressAI loads in seconds

    return HyperNetwork(model, device)


ARCHITECTURES: Mapping[str, Callable[[Model, torch.device], Network]] = {
    "bmshj2018-factorized": FactorizedNetwork,
    "bmshj2018-hyperprior": _hyper,
    "mbt2018-mean": _hyper,
    "elic2022-chandelier": _hyper,
}
