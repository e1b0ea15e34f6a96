"""One trial in a process of its own: a volume is compressed, and every slice read back.

So its CPU seconds and its memory are its own, and a codec that crashes ends nothing but its trial. The
process is given the path of a request, in JSON, and the path of its answer.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsicomp.errors import WsicompError
from wsicomp.files.json_values import parsed_text
from wsicomp.volumes.compress import compress_volume
from wsicomp.volumes.compressed_volume import CompressedVolume
from wsicomp.volumes.config import VolumeConfig
from wsicomp.volumes.volume import Volume

_MODULE = "wsicomp.volumes.comparison.trial_process"


@dataclass(frozen=True)
class TrialAnswer:
    """How a trial went."""

    reason: str
    """Why there is no file; "" if there is one."""
    compress_cpu_s: float = 0.0
    """CPU seconds of writing the file, of all threads."""
    read_cpu_s: float = 0.0
    """CPU seconds of reading every slice back."""
    peak_bytes: int = 0
    """The largest resident memory; 0 where the system does not say."""


def run_trial(source: Path, target: Path, config: Mapping[str, Any], folder: Path) -> TrialAnswer:
    """Compress a volume in another process, and return how that went; `folder` is for its notes.

    `config` holds fields of `VolumeConfig`, as JSON has them.
    """
    request, answer = folder / "request.json", folder / "answer.json"
    answer.unlink(missing_ok=True)
    request.write_text(json.dumps({"source": str(source), "target": str(target), "config": dict(config)}))
    words = [sys.executable, "-P", "-m", _MODULE, str(request), str(answer)]
    ended = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603 -- itself
    if ended.returncode < 0:
        return TrialAnswer(f"its process was ended by signal {-ended.returncode}: perhaps memory ran out")
    if ended.returncode or not answer.is_file():
        last = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
        return TrialAnswer(f"its process failed: {last[0][:200]}")
    return parsed_text(answer.read_bytes(), TrialAnswer)


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    target = Path(request["target"])
    start = time.process_time()
    try:
        compress_volume(Path(request["source"]), target, VolumeConfig(**request["config"]))
        compressed = time.process_time()
        _read_all(CompressedVolume(target))
    except WsicompError as exc:
        return {"reason": exc.message}
    except MemoryError:
        return {"reason": "out of memory"}
    read = time.process_time()
    return {
        "reason": "",
        "compress_cpu_s": compressed - start,
        "read_cpu_s": read - compressed,
        "peak_bytes": _peak_bytes(),
    }


def _read_all(volume: Volume) -> None:
    try:
        for _ in volume.slices():
            pass
    finally:
        volume.close()


def _peak_bytes() -> int:
    """Return the largest resident memory of this process alone: getrusage counts its parent's, too."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of macOS, which counts bytes
    return int(found[1]) * 1024 if found else 0


def _main(request: Path, answer: Path) -> None:
    found = _answer(json.loads(request.read_text("utf-8")))
    answer.write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
