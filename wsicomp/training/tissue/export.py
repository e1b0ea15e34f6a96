"""Export of a trained tissue network: Keras, LiteRT in int8 and in float32, and manifests."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from wsicomp.errors import TrainingError
from wsicomp.files.atomic import completed
from wsicomp.tissue.segmenters.weights import MANIFEST_FORMAT
from wsicomp.training.data.patch_set import PATCH_PX
from wsicomp.training.tissue.fit import Fitted, load_network
from wsicomp.training.tissue.settings import TrainingSettings
from wsicomp.version import SOFTWARE

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_OWN = re.compile(r"settings|state|(last|best)-\d+")


def check_name(name: str) -> None:
    """Check that a network's name can name its files.

    Raises:
        TrainingError: the name has other characters than letters, digits, `.`, `_` and `-`, begins with a
            dot, or is that of a file of the run.
    """
    if _OWN.fullmatch(name):
        raise TrainingError(f"the name is {name!r}, as of a file of the run; take another")
    if not _NAME.fullmatch(name):
        raise TrainingError(f"the name is {name!r}, expected letters, digits, . _ - as in tissue-unet")


def export(fitted: Fitted, settings: TrainingSettings, folder: Path, name: str) -> Path:
    """Write a network's files into a folder; return the path of the manifest of what conversions run.

    `name`.keras is the network to train on. `name`.json is the manifest of `name`.tflite, whose weights are
    int8, and `name`-float32.json that of `name`-float32.tflite, to compare with.

    Raises:
        TrainingError: the network is damaged, or Keras runs on a backend that makes no LiteRT files.
        SlideWriteError: a file cannot be written.
    """
    from wsicomp.training.tissue.network import build_unet

    trained = load_network(fitted.network)
    model = build_unet(settings.network)  # in float32, whatever it was trained in
    model.set_weights(trained.get_weights())
    keras = f"{name}.keras", to_keras(model)
    facts = _facts(fitted, settings, int(model.count_params()))
    written = [keras]
    for own, is_int8 in ((f"{name}-float32", False), (name, True)):
        litert = f"{own}.tflite", to_litert(model, is_int8)
        files = {"keras": _entry(*keras), "litert": _entry(*litert)}
        manifest = {"format": MANIFEST_FORMAT, "name": own, "software": SOFTWARE, "files": files, **facts}
        written += [litert, (f"{own}.json", (json.dumps(manifest, indent=1) + "\n").encode())]
    for file, data in written:
        with completed(folder / file, overwrite=True) as partial:
            partial.write_bytes(data)
    return folder / f"{name}.json"


def _entry(name: str, data: bytes) -> dict[str, Any]:
    """Return what a manifest says of a file."""
    return {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _facts(fitted: Fitted, settings: TrainingSettings, parameters: int) -> dict[str, Any]:
    """Return what both manifests of a network say of it."""
    best = fitted.best_epoch
    return {
        "patch_px": PATCH_PX,
        "mask_px": PATCH_PX // settings.network.mask_stride,
        "parameters": parameters,
        "input": "(1, patch_px, patch_px, 3) float32 RGB, 0 to 255, glass at 235",
        "output": "(1, mask_px, mask_px, 2) float32 softmax: glass, tissue",
        "validation": {"dice": best.dice, "epoch": best.epoch, "epochs": len(fitted.epochs)},
        "settings": settings.to_json(),
        "learnt_from": [source.described() for source in fitted.learnt_from],
    }


def to_keras(model: Any) -> bytes:
    """Return the bytes of a Keras file, without the optimizer that only training needs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        model.save(path)
        return path.read_bytes()


def to_litert(model: Any, is_int8: bool) -> bytes:
    """Return a Keras network as a LiteRT flatbuffer, which takes one patch at a time, in float32.

    With `is_int8` its weights are int8, and each layer's input is rounded to int8 by its own range as it
    runs: a quarter of the bytes, a third of the time.

    Raises:
        TrainingError: Keras does not run on TensorFlow, the only backend that writes such files.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise TrainingError(
            f"Keras runs on {keras.backend.backend()}, which writes no LiteRT file; "
            "give the same command with KERAS_BACKEND=tensorflow and it goes on here"
        )
    import tensorflow as tf

    patch = keras.Input((PATCH_PX, PATCH_PX, 3), batch_size=1, name="rgb")
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(patch, model(patch)))
    if is_int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return bytes(converter.convert())
