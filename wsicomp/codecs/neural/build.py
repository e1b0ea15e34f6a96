"""Build the network of a model's architecture."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec

from wsicomp.codecs.neural.extra import extra_installed
from wsicomp.codecs.neural.litert import litert_transforms
from wsicomp.codecs.neural.model import Model
from wsicomp.codecs.neural.networks import FactorizedNetwork, Network
from wsicomp.errors import CodecUnavailableError, SlideReadError, WeightsError


def build_network(model: Model, device: str) -> Network:
    """Return the model on a device, with its encoder if it has one.

    Raises:
        WeightsError: the architecture is unknown, or the model's tensors are not those of it.
        SlideReadError: there is no memory for the model.
        CodecUnavailableError: the extra that runs it, or the entropy coder, is not installed.
    """
    build = ARCHITECTURES.get(model.card.architecture)
    if build is None:
        known = ", ".join(ARCHITECTURES)
        raise WeightsError(f"model {model.card.name}: {model.card.architecture!r}, expected one of {known}")
    if find_spec("constriction") is None:
        message = f"codec {model.card.architecture} needs constriction: pip install constriction"
        raise CodecUnavailableError(message)
    try:
        with extra_installed(f"codec {model.card.architecture}"):
            return build(model, device)
    except CodecUnavailableError:
        raise
    except MemoryError as exc:
        raise cannot_run(exc) from exc
    except Exception as exc:  # a file can make a library raise anything
        reason = " ".join(str(exc).split())[:200]
        raise WeightsError(f"model {model.card.name}: no {model.card.architecture} ({reason})") from exc


def cannot_run(exc: Exception) -> SlideReadError:
    """Return the error for a model that is here and cannot run, which is no fault of the slide."""
    reason = " ".join(str(exc).split())[:200] or type(exc).__name__
    runs_elsewhere = "torch" in sys.modules  # a GPU is torch's
    advice = "set WSICOMP_DEVICE=cpu to run it without a GPU" if runs_elsewhere else "give it more memory"
    return SlideReadError(f"its model cannot run on this machine ({reason}); {advice}")


def _factorized(model: Model, device: str) -> Network:
    if device == "cpu":
        return FactorizedNetwork(model, litert_transforms(model))
    import torch  # noqa: PLC0415 - torch loads in seconds

    from wsicomp.codecs.neural.torch_transforms import torch_transforms  # noqa: PLC0415

    return FactorizedNetwork(model, torch_transforms(model, torch.device(device)))


def _hyper(model: Model, device: str) -> Network:
    import torch  # noqa: PLC0415 - torch loads in seconds, and so does CompressAI

    from wsicomp.codecs.neural.hyper import HyperNetwork  # noqa: PLC0415

    return HyperNetwork(model, torch.device(device))


ARCHITECTURES: Mapping[str, Callable[[Model, str], Network]] = {
    "bmshj2018-factorized": _factorized,
    "bmshj2018-hyperprior": _hyper,
    "mbt2018-mean": _hyper,
    "elic2022-chandelier": _hyper,
}
"""The builders of networks, each of a model and a device."""
