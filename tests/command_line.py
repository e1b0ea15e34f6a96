"""A command line in this process, without the second that `python -m wsicomp` takes to start."""

import contextlib
import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

from tests.paths import ROOT
from wsicomp.cli import main

_SERVE = """
import json, sys
from tests.command_line import run_command
for line in sys.stdin:
    print(json.dumps(run_command(*json.loads(line))), flush=True)
"""


def run_command(*arguments):
    """(exit code, stdout, stderr) of `wsicomp` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exc:
            code = exc.code
    return code, out.getvalue(), err.getvalue()


@contextlib.contextmanager
def command_process(first="", folder=ROOT):
    """What runs command lines in one process of their own, in which some Python was run at first.

    It returns `returncode`, `stdout` and `stderr`, as `subprocess.run` does. The package is that of `folder`.
    """
    command = [sys.executable, "-c", first + _SERVE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    with subprocess.Popen(command, cwd=folder, env=environment, **pipes) as process:

        def run(*arguments):
            process.stdin.write(json.dumps([str(argument) for argument in arguments]) + "\n")
            process.stdin.flush()
            code, out, err = json.loads(process.stdout.readline())
            return SimpleNamespace(returncode=code, stdout=out, stderr=err)

        yield run
        process.stdin.close()
        assert process.wait() == 0
