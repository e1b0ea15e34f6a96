"""From a trained Keras network to the files that ship: Keras, LiteRT, a manifest that vouches for both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsicomp.errors import TrainingError
from wsicomp.tissue.scale import MPP_AT_1X
from wsicomp.tissue.weights import MANIFEST_FORMAT
from wsicomp.training.fit import Fitted
from wsicomp.training.patches import PATCH_PX, PatchSource
from wsicomp.training.settings import TrainingSettings
from wsicomp.version import SOFTWARE

_MAGNIFICATION = 2.5


def export(fitted: Fitted, settings: TrainingSettings, folder: Path, name: str) -> Path:
    """Write `name`.keras, .tflite and .json into a folder; the manifest's path.

    Raises:
        TrainingError: Keras runs on a backend from which LiteRT files cannot be made.
    """
    import keras

    model = keras.saving.load_model(fitted.best, compile=False, safe_mode=True)
    names = {"keras": f"{name}.keras", "litert": f"{name}.tflite"}
    model.save(folder / names["keras"])  # uncompiled, and so without what only training needs
    (folder / names["litert"]).write_bytes(to_litert(model))
    files = {kind: (folder / file).read_bytes() for kind, file in names.items()}
    best = fitted.best_epoch
    facts: dict[str, Any] = {
        "format": MANIFEST_FORMAT,
        "name": name,
        "software": SOFTWARE,
        "files": {
            kind: {"name": names[kind], "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for kind, data in files.items()
        },
        "patch_px": PATCH_PX,
        "mpp": MPP_AT_1X / _MAGNIFICATION,
        "parameters": int(model.count_params()),
        "input": "(1, patch_px, patch_px, 3) float32 RGB, 0 to 255",
        "output": "(1, patch_px, patch_px, 2) float32 softmax: glass, tissue",
        "validation": {"dice": best.dice, "epoch": best.epoch, "epochs": len(fitted.epochs)},
        "settings": settings.to_json(),
        "learnt_from": [_described(source) for source in fitted.learnt_from],
    }
    manifest = folder / f"{name}.json"
    manifest.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return manifest


def _described(source: PatchSource) -> Mapping[str, str]:
    return {key: value for key, value in asdict(source).items() if key in ("name", "group", "licence")}


def to_litert(model: Any) -> bytes:
    """A Keras network as a LiteRT flatbuffer in float32, for one patch at a time.

    Raises:
        TrainingError: Keras does not run on TensorFlow, which alone writes such files.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise TrainingError(
            f"Keras runs on {keras.backend.backend()}; write the LiteRT file with KERAS_BACKEND=tensorflow"
        )
    import tensorflow as tf

    signature = [tf.TensorSpec((1, PATCH_PX, PATCH_PX, 3), tf.float32, name="rgb")]
    function = tf.function(lambda rgb: model(rgb, training=False), input_signature=signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)
    return bytes(converter.convert())
