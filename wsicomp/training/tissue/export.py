"""Export of a trained tissue network: Keras, LiteRT, and a manifest with the digests of both."""

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
    """Write `name`.keras, .tflite and .json, the manifest, into a folder; return the manifest's path.

    Raises:
        TrainingError: the network is damaged, or Keras runs on a backend that makes no LiteRT files.
        SlideWriteError: a file cannot be written.
    """
    from wsicomp.training.tissue.network import build_unet

    trained = load_network(fitted.network)
    model = build_unet(settings.network)  # in float32, whatever it was trained in
    model.set_weights(trained.get_weights())
    files = {"keras": (f"{name}.keras", to_keras(model)), "litert": (f"{name}.tflite", to_litert(model))}
    best = fitted.best_epoch
    facts: dict[str, Any] = {
        "format": MANIFEST_FORMAT,
        "name": name,
        "software": SOFTWARE,
        "files": {
            kind: {"name": file, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for kind, (file, data) in files.items()
        },
        "patch_px": PATCH_PX,
        "parameters": int(model.count_params()),
        "input": "(1, patch_px, patch_px, 3) float32 RGB, 0 to 255, glass at 235",
        "output": "(1, patch_px, patch_px, 2) float32 softmax: glass, tissue",
        "validation": {"dice": best.dice, "epoch": best.epoch, "epochs": len(fitted.epochs)},
        "settings": settings.to_json(),
        "learnt_from": [source.described() for source in fitted.learnt_from],
    }
    manifest = f"{name}.json"
    written = [*files.values(), (manifest, (json.dumps(facts, indent=1) + "\n").encode())]
    for file, data in written:
        with completed(folder / file, overwrite=True) as partial:
            partial.write_bytes(data)
    return folder / manifest


def to_keras(model: Any) -> bytes:
    """Return the bytes of a Keras file, without the optimizer that only training needs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        model.save(path)
        return path.read_bytes()


def to_litert(model: Any) -> bytes:
    """Return a Keras network as a LiteRT flatbuffer in float32, which takes one patch at a time.

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

    signature = [tf.TensorSpec((1, PATCH_PX, PATCH_PX, 3), tf.float32, name="rgb")]
    function = tf.function(lambda rgb: model(rgb, training=False), input_signature=signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)
    return bytes(converter.convert())
