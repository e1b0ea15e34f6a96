"""What becomes of slides that were converted wrongly or refused once, as others read the result.

Every case is drawn by `tests/drawn`, so that its pixels are known. OpenSlide reads what came of it, or
tifffile where OpenSlide cannot. `--before CHECKOUT` asks the program of another checkout the same.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import case_bombs
import case_images
import case_ledger
import case_names
import case_paths
import case_proof
import case_uncaught
from case_list import CASES, HERE, THEN, Answer, Answered, Case
from usage import parser_of

PARTS = (case_bombs, case_images, case_ledger, case_paths, case_proof, case_uncaught)
_ASK = """
import contextlib, io, json, openslide, sys, wsicomp
from wsicomp.cli import main
def raised(call):
    try:
        call()
    except Exception as exc:
        return exc
def is_missing(path):
    return isinstance(raised(lambda: wsicomp.open_slide(path)), FileNotFoundError)
def is_unsupported(path):
    return isinstance(raised(lambda: wsicomp.open_slide(path)), openslide.OpenSlideUnsupportedFormatError)
def closed_raises(path):
    slide = wsicomp.open_slide(path)
    slide.close()
    return type(raised(lambda: slide.properties["openslide.vendor"])).__name__
def agree_on_format(path):
    found = wsicomp.open_slide(path).detect_format(path)
    vendor = wsicomp.open_slide(path).properties["openslide.vendor"]
    return f"{found}, {vendor}"
for arguments in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = 0
            if arguments[0] == "python":
                print(eval(" ".join(arguments[1:])))
            else:
                code = main(arguments)
        except SystemExit as exc:
            code = exc.code
        except BaseException as exc:
            code, _ = 99, err.write(f"TRACEBACK {type(exc).__name__}: {exc}")
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""


def ask(checkout: Path, commands: list[list[str]]) -> Iterator[Answered]:
    """Give commands to the program of a checkout, all in one process."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", _ASK]
    done = subprocess.run(
        command,
        input=json.dumps(commands),
        text=True,
        capture_output=True,
        cwd=checkout,
        env=environment,
        check=False,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for number in range(len(commands)):
        yield answers[number] if number < len(answers) else (99, "", f"crashed: {done.stderr[-80:]}")


def fill(step: str, path: Path, target: Path, folder: Path) -> str:
    return step.replace("SOURCE", str(path)).replace("TARGET", str(target)).replace("FOLDER", str(folder))


def last(answers: Iterable[Answered]) -> Answered:
    """The first answer that is no success, or the last one."""
    given = list(answers)
    return next((answer for answer in given if answer[0]), given[-1])


def answered(case: Case, checkout: Path) -> str:
    """What a checkout's program makes of a case."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = case.draw(folder)
        targets = [
            folder / f"target-{number}.{'svs' if 'format svs' in case.command else 'tiff'}"
            for number in range(len(drawn))
        ]
        steps = [
            [fill(step, path, target, folder).split() for step in case.command.split(THEN)]
            for (path, _), target in zip(drawn, targets, strict=True)
        ]
        if case.meddle:
            for _ in ask(checkout, [own.pop(0) for own in steps]):
                pass
            for target in filter(Path.exists, targets):
                case.meddle(target)
        given = ask(checkout, list(itertools.chain.from_iterable(steps)))
        answers = [
            Answer(target, truth, *last(itertools.islice(given, len(own))))
            for target, (_, truth), own in zip(targets, drawn, steps, strict=True)
        ]
        return case.judge(answers)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="ask the program in here as well")
    parser.add_argument("--only", metavar="WORDS", default="", help="cases whose names have these words")
    parser.add_argument("--names", action="store_true", help="where a word hides under --deidentify instead")
    options = parser.parse_args()
    checkouts = {"before": options.before, "now": HERE} if options.before else {"now": HERE}
    if options.names:
        for row in case_names.rows([checkout.resolve() for checkout in checkouts.values()], ask):
            print(row, flush=True)
        return
    print(f"| case | command | right | {' | '.join(checkouts)} |\n|---|---|---|{'---|' * len(checkouts)}")
    for case in (*CASES, *(case for part in PARTS for case in part.CASES)):
        if options.only in case.name:
            cells = [answered(case, checkout.resolve()).replace("|", "/") for checkout in checkouts.values()]
            command = case.command.replace("SOURCE TARGET ", "").replace(" SOURCE TARGET", "")
            print(f"| {case.name} | `{command}` | {case.right} | {' | '.join(cells)} |", flush=True)


main()
