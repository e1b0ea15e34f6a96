"""`wsicomp batch`: convert a tree of slides overnight; `batch status` and `batch report` show the results."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from wsicomp.batch import BatchOptions, Ledger, read_report, run_batch, write_csv, write_html
from wsicomp.batch.monitoring import LastHeartbeat, is_running, read_heartbeat
from wsicomp.batch.report import outdated_text, report_csv
from wsicomp.batch.scheduler import STOPPING
from wsicomp.cli.batch_accept import ACCEPT
from wsicomp.cli.batch_finish import end_of_error, exit_code_of, run_on_finish
from wsicomp.cli.batch_options import options_lines, standing_preset
from wsicomp.cli.batch_plan import say_plan
from wsicomp.cli.batch_progress import batch_progress
from wsicomp.cli.batch_rebuild import REBUILD
from wsicomp.cli.batch_restore import RESTORE
from wsicomp.cli.batch_texts import report_text, result_text
from wsicomp.cli.commands import Command
from wsicomp.cli.options import CONVERSION, PresetOptions, conversion_option
from wsicomp.cli.stopping import stopping
from wsicomp.cli.text import say, show, write_json
from wsicomp.concurrency.threads import batched
from wsicomp.config import ConversionConfig, RunConfig
from wsicomp.errors import ConfigError
from wsicomp.files.atomic import check_outputs
from wsicomp.files.json_values import parsed
from wsicomp.options import argument, option
from wsicomp.text.figures import as_bytes, as_duration, as_saving, counted

_EPILOG = """\
examples:
  wsicomp batch slides/ archive/ --preset archive-lossless
      every source can be restored byte for byte
  wsicomp batch slides/ archive/ --dry-run
      print what would be done
  wsicomp batch slides/ archive/ --until 06:30 --limit-rate 80
      an evening's run beside others, with the options of the first run
  wsicomp batch slides/ archive/ --on-finish 'mail -s "$WSICOMP_STATE" it@lab'
      a mail at the end
  wsicomp batch slides/ archive/ --scheduler tcp://head:8786
      on a Dask cluster that sees both folders
  wsicomp batch status archive/
      print where it stands, also while it runs
  wsicomp batch report archive/ --html report.html
      write the report of the night
  wsicomp batch accept archive/
      list the slides that a person has to look at
  wsicomp batch accept archive/ a/slide.svs
      record that somebody looked at this one
  wsicomp batch rebuild archive/
      make a lost or damaged ledger anew, from the targets
  wsicomp batch restore archive/ again/
      give every source back that the archive holds, byte for byte

exit codes:
  0    nothing failed (also with slides to look at)
  1    a slide failed or had no room
  2    wrong usage
  130  stopped by a signal

To convert a folder called status, report, accept, rebuild or restore, write ./status and so on.
"""


@dataclass(frozen=True, kw_only=True)
class BatchCommandOptions(PresetOptions):
    """Arguments of `wsicomp batch` besides the options of a batch and of a conversion."""

    GROUP: ClassVar = RunConfig.GROUP

    source: Path = argument("the tree of slides to read", metavar="SOURCE_DIR")
    target: Path = argument("the tree to write; made if it does not exist", metavar="TARGET_DIR")
    dry_run: bool = option(False, "print what would be done, and what it saves; write nothing")
    estimate: int = option(
        10, "with --dry-run, foretell from so many slides what all will save", least=0, metavar="N"
    )
    json: bool = option(False, "print a line of JSON for each slide and each minute")
    on_finish: str | None = option(
        None,
        "run this shell command at the end, also after Ctrl-C, with the outcome in WSICOMP_STATE and others, "
        "and as JSON on its stdin; it is ended after an hour",
        metavar="CMD",
    )


@dataclass(frozen=True, kw_only=True)
class StatusOptions:
    """Arguments of `wsicomp batch status`."""

    target: Path = argument("the target tree of a batch", metavar="TARGET_DIR")
    json: bool = option(False, "print JSON")


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Arguments of `wsicomp batch report`."""

    target: Path = argument("the target tree of a batch", metavar="TARGET_DIR")
    html: Path | None = option(None, "write one page for a browser", metavar="FILE")
    csv: Path | None = option(None, "write a table with a row for each slide; - for stdout", metavar="FILE")
    json: Path | None = option(None, "write the figures as JSON; - for stdout", metavar="FILE")
    thumbnails: int = option(300, "show at most so many pictures on the page", least=0, metavar="N")
    overwrite: bool = option(False, "replace FILEs if they exist")


def run_batch_command(
    options: BatchCommandOptions, batch_options: BatchOptions, config: ConversionConfig
) -> int:
    """Convert a tree of slides into another tree, and keep a ledger of what became of each.

    Every slide below SOURCE_DIR gets a verified conversion at the same place below TARGET_DIR. A rerun
    does only what is missing or changed. Each slide is converted in a process of its own: if that crashes
    or hangs, the others go on. Sources are only read, unless --delete-source-after-verify says otherwise.
    TARGET_DIR/.wsicomp holds the ledger, a log, a heartbeat for monitors and pictures of what was
    removed.

    Some slides get the state "look": no tissue was found, or over 98 % of the area went. The report lists
    them first, with a picture. No option takes such a source away until a person has looked and run
    `wsicomp batch accept`.

    TARGET_DIR/wsicomp.toml remembers the options that make the batch. A run without options takes them.
    One with others says what differs, remembers it, and replaces what the earlier ones made with
    --reconvert only. --preset replaces how slides are converted. --include, --exclude, --carry-others,
    --name-key, --quarantine-days and --min-saving stay as remembered until they are given themselves.

    Ctrl-C or SIGTERM finishes the slides at work and stops. A second one drops them. Nothing half-written
    stays, and the same command goes on later.
    """
    opening = tuple(options_lines(options.target, options.preset, config, batch_options, not options.dry_run))
    if options.dry_run:
        trees = (options.source, options.target)
        return say_plan(*trees, config, batch_options, options.json, options.estimate, opening)
    try:
        with (
            stopping("wsicomp batch", "slide") as stop,
            batch_progress(options.json, opening=opening) as callbacks,
        ):
            result = run_batch(options.source, options.target, config, batch_options, callbacks, stop)
    except BaseException as exc:
        end = end_of_error(options.source, exc)
        run_on_finish(options.on_finish, options.target, end, exit_code_of(exc))
        raise
    end = {"event": "end", **asdict(result)}
    if options.json:
        show(json.dumps(end) + "\n")
    else:
        say(*result_text(result, options.target))
    code = 130 if stop.requests else 0 if result.is_good else 1
    run_on_finish(options.on_finish, options.target, end, code)
    return code


def run_status(options: StatusOptions) -> int:
    """Print where a batch stands, also while it runs."""
    report, beat = read_report(options.target), read_heartbeat(options.target)
    at_work = is_running(options.target)
    if options.json:
        write_json(
            {
                "at_work": at_work,
                "states": report.states,
                "saved": report.saved,
                "outdated": report.outdated,
                "carried_files": report.carried_files,
                "carried_bytes": report.carried_bytes,
                "heartbeat": beat,
            },
            None,
        )
        return 0
    states = ", ".join(f"{count} {state}" for state, count in report.states.items() if count) or "no slides"
    say(f"{options.target}: {states}")
    if report.look:
        say(f"  look at {len(report.look)}: wsicomp batch accept {shlex.quote(str(options.target))}")
    if report.source_bytes:
        sizes = f"{as_bytes(report.source_bytes)} -> {as_bytes(report.target_bytes)}"
        say(f"  {sizes}, {as_saving(report.saved)}")
    for removal, count in report.removals.items():
        say(f"  sources {removal}: {count}")
    if report.carried_files:
        say(
            f"  carried as they are: {counted(report.carried_files, 'file')}, "
            f"{as_bytes(report.carried_bytes)}"
        )
    if report.outdated:
        say(f"  {outdated_text(report.outdated)}")
    if not at_work:
        left = report.states["running"] + report.states["waiting"]
        say(
            "  no batch is running on this machine"
            + (f"; run it again for {counted(left, 'slide')}" if left else "")
        )
    elif beat is None:
        say("  at work; its heartbeat cannot be read, and is written anew every few seconds")
    else:
        _say_heartbeat(parsed(beat, LastHeartbeat))
    return 0


def _say_heartbeat(heard: LastHeartbeat) -> None:
    eta = "" if heard.eta_s is None else f", about {as_duration(heard.eta_s)} to go"
    if heard.state == STOPPING:
        say(f"  stopping: it finishes {counted(len(heard.running), 'slide')} and begins no other")
    say(f"  at work since {as_duration(heard.elapsed_s)} (as of {heard.time}){eta}")
    for name, (stage, done, total) in heard.running.items():
        say(f"    {name}: {stage} {done} of {total}")


def run_report(options: ReportOptions) -> int:
    """Print what became of a tree of slides: totals, savings, and failures by cause.

    --html writes it as one page, with pictures of what was removed from each slide. The page loads nothing
    from elsewhere.
    """
    printed = [path for path in (options.csv, options.json) if str(path) == "-"]
    if len(printed) > 1:
        raise ConfigError("only one of `csv` and `json` can go to stdout")
    named = [path for path in (options.html, options.csv, options.json) if path and str(path) != "-"]
    check_outputs(named, Ledger.files(options.target), options.overwrite)
    report = read_report(options.target)
    if options.html:
        write_html(options.target, options.html, options.overwrite, options.thumbnails)
    if str(options.csv) == "-":
        for lines in batched(report_csv(options.target), 1000):
            show("".join(lines))
    elif options.csv:
        write_csv(options.target, options.csv, options.overwrite)
    if options.json:
        write_json(report.to_json(), options.json, options.overwrite)
    for path in named:
        say(f"wrote {path}", file=sys.stderr)
    if not printed:
        say(*report_text(options.target, report))
    return 0


_CONVERSION = (
    *CONVERSION,
    conversion_option("overwrite", "replace files in TARGET_DIR that no batch wrote"),
    conversion_option(
        "roi",
        "keep every tile that touches regions: tissue, as it is found; or those of a folder with a file for "
        "each slide, such as a/b.geojson for a/b.svs",
    ),
)
COMMANDS = (
    Command(
        "batch",
        (BatchCommandOptions, BatchOptions),
        run_batch_command,
        conversion=_CONVERSION,
        epilog=_EPILOG,
        standing_preset=standing_preset,
    ),
    Command("batch status", (StatusOptions,), run_status),
    Command("batch report", (ReportOptions,), run_report),
    ACCEPT,
    REBUILD,
    RESTORE,
)
