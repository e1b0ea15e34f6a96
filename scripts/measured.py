"""A command of wsicomp in a process of its own: how it ended, its seconds, its peak memory, what it wrote.

It is stopped after 60 CPU seconds, or with 10 GB of address space.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_LIMIT_S, _LIMIT_CPU_S = 400, 60
_LIMIT_BYTES = 10 << 30
_SAID = 110


def measured(arguments: list[str], written: str = "") -> str:
    """The command's end in a few words; `written` is a file whose bytes are told too."""
    with tempfile.TemporaryFile() as told:
        child = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "wsicomp", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=told,
            preexec_fn=_bounded,  # noqa: PLW1509 - there are no threads here
        )
        start = time.monotonic()
        done, status, usage = 0, 0, None
        while not done and time.monotonic() - start < _LIMIT_S:
            done, status, usage = os.wait4(child.pid, os.WNOHANG)
            time.sleep(0.02)
        if not done:
            child.kill()
            _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        lines = told.read().decode("utf-8", "replace").strip().splitlines()
    assert usage is not None, "it was waited for"
    cpu = usage.ru_utime + usage.ru_stime
    end = f"exit {child.returncode}" if done and child.returncode >= 0 else "stopped"
    size = (
        f", wrote {Path(written).stat().st_size / 1e6:.1f} MB" if written and Path(written).exists() else ""
    )
    said = f": {lines[-1][-_SAID:]}" if child.returncode > 0 and lines else ""
    return f"{end}, CPU {cpu:.1f} s, {seconds:.1f} s, {usage.ru_maxrss / 1024:.0f} MB{size}{said}"


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_LIMIT_BYTES, _LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_LIMIT_CPU_S, _LIMIT_CPU_S))
