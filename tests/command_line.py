"""A command line in this process, without the second that `python -m wsicomp` takes to start."""

import contextlib
import io

from wsicomp.cli import main


def run_command(*arguments):
    """(exit code, stdout, stderr) of `wsicomp` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exc:
            code = exc.code
    return code, out.getvalue(), err.getvalue()
