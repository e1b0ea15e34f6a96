"""Run a batch: find the slides, have those converted that are due, and record what became of them.

Only this process writes the ledger and moves sources. Everything that reads a slide runs in worker processes.
After a kill at any moment, the next run goes on from the ledger and from the targets on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from logging import Logger
from pathlib import Path

from wsicomp.batch.carried import Carried
from wsicomp.batch.companions import finish_steps, unfinished_files
from wsicomp.batch.entry import Entry, State
from wsicomp.batch.executors import open_executors
from wsicomp.batch.file_list import read_list
from wsicomp.batch.ledger import Ledger
from wsicomp.batch.ledger_checks import path_flaw
from wsicomp.batch.ledger_files import LEFT_OUT, OPTIONS, SOURCE
from wsicomp.batch.monitoring import Heartbeat, lock_tree, open_log
from wsicomp.batch.name_key import add_names, check_key_path, make_key, read_names, read_secret
from wsicomp.batch.options import BatchOptions
from wsicomp.batch.quarantine_clock import count_run_in_quarantine, restart_quarantine_time
from wsicomp.batch.remembered import (
    chosen_options,
    options_text,
    remember_options,
    remembered_options,
    with_absolute_files,
)
from wsicomp.batch.report import outdated_text
from wsicomp.batch.runner import BatchResult, Run, remove_partial_files
from wsicomp.batch.scheduler import BatchCallbacks, Scheduler, Stop
from wsicomp.batch.slide_configs import SlideConfigs
from wsicomp.batch.source_records import (
    Records,
    read_records,
    remove_quarantine_time,
    sweep_records,
    write_quarantine_time,
)
from wsicomp.batch.target_names import assign_targets
from wsicomp.batch.worklist import Trees, Worklist, is_in_quarantine, make_worklist, replaced_text
from wsicomp.config import ConversionConfig
from wsicomp.conversion.settings import Settings, past_settings
from wsicomp.errors import ConfigError, KeptError, SlideReadError, SlideWriteError
from wsicomp.files.inputs import is_folder
from wsicomp.formats.discovery import QUARANTINE, Inventory, LeftOut, find_slides, folders_of
from wsicomp.text.figures import counted
from wsicomp.text.paths import as_path, as_text

_ADVICE = "give the options of then, or `reconvert=True` to replace what they made"


def run_batch(
    source: Path,
    target: Path,
    config: ConversionConfig | None = None,
    options: BatchOptions | None = None,
    callbacks: BatchCallbacks | None = None,
    stop: Stop | None = None,
) -> BatchResult:
    """Convert the slides of the tree `source` into the tree `target`.

    What the ledger in `target` records as done is not done again. Where both `config` and `options` are None,
    the run has those that `wsicomp.toml` in `target` remembers; else one that is None has its defaults.
    `callbacks` are told how far the run is, and `stop` lets another thread end it.

    >>> from wsicomp.batch import run_batch
    >>> config = ConversionConfig.preset("archive-lossless")
    >>> result = run_batch(Path("slides"), Path("converted"), config)  # doctest: +SKIP
    >>> result.is_good, result.converted, result.failed  # doctest: +SKIP
    (True, 20, 0)

    Raises:
        ConfigError: options contradict each other or do not fit these folders, or finished slides were made
            by other options and `reconvert` is not given.
        LedgerError: another run is writing this tree, or the ledger cannot be read or written.
        SlideReadError: `source` is no folder, or cannot be read.
        SlideWriteError: `target` cannot be written.
    """
    trees, config, options = _checked(source, target, config, options)
    with (
        lock_tree(trees.target, trees.source) as folder,
        Ledger(trees.target) as ledger,
        open_log(folder) as log,
    ):
        finish_steps(trees.source, log)
        inventory = _inventory(trees, config, options)
        configs = SlideConfigs(config, trees.source)
        worklist = _prepared(trees, config, configs, options, inventory, ledger, log)
        folders = (trees.source, trees.target)
        with open_executors(options.scheduler, options.jobs, config, folders) as executors:
            config = config.changed(workers=options.workers or executors.threads_a_job)
            scheduler = Scheduler(
                trees, options, ledger, executors, log, Heartbeat(folder), callbacks, stop or Stop()
            )
            result = Run(scheduler, config, worklist).run()
        left_out = inventory.left_out
        result = replace(result, left_out=left_out.files, left_out_what=str(left_out))
        log.info("ends: %s", result)
    return result


def _prepared(
    trees: Trees,
    config: ConversionConfig,
    configs: SlideConfigs,
    options: BatchOptions,
    inventory: Inventory,
    ledger: Ledger,
    log: Logger,
) -> Worklist:
    """Return the work of a run, after the ledger has it.

    Raises:
        ConfigError: the ledger is of another source tree, or finished slides were made by other options.
    """
    listed = _known(ledger, trees, inventory, options)
    known = _by_key(listed, inventory, config, options)
    for entry in known.values():
        if entry.state is State.RUNNING:
            remove_partial_files(entry, trees)
    if options.name_key is not None:
        make_key(options.name_key)
    records = ledger.settings()
    known, past = _with_settings(known, records, config)
    seen = _as_recorded(known, trees, options, log)
    settings = configs.every(slide.source for slide in inventory.slides)
    settings |= {each.digest: each for each in past}
    records |= settings
    carried = ledger.carried()
    worklist = make_worklist(inventory, known | seen, trees, config, configs, records, options, carried)
    if worklist.replaced and not options.reconvert:
        now = configs.settings(worklist.replaced[0].source)
        raise ConfigError(f"{replaced_text(worklist.replaced, records, now)}; {_ADVICE}", trees.target)
    remember_options(trees.target, config, options)
    if options.name_key is not None:
        add_names(options.name_key, {entry.target: entry.source for entry in worklist.due if entry.target})
    ledger.note(SOURCE, as_text(trees.source))
    ledger.note(OPTIONS, options_text(chosen_options(config, options)))
    ledger.note(LEFT_OUT, str(inventory.left_out))
    ledger.drop(worklist.dropped)
    changed = (entry for source, entry in known.items() if entry != listed.get(source))
    entries = [*changed, *seen.values(), *worklist.due, *worklist.others]
    ledger.put(entries, settings=settings.values())
    ledger.drop(listed.keys() - known.keys())
    _log_work(log, worklist, inventory)
    return worklist


def _log_work(log: Logger, worklist: Worklist, inventory: Inventory) -> None:
    due, suspects, found = len(worklist.due), len(worklist.suspects), len(inventory.slides)
    log.info("begins: %d due, %d to check, %d found", due, suspects, found)
    if worklist.outdated:
        log.info("%s", outdated_text(len(worklist.outdated)))


def plan_batch(
    source: Path, target: Path, config: ConversionConfig | None = None, options: BatchOptions | None = None
) -> tuple[Worklist, Inventory]:
    """Return what `run_batch` would do, and what is in the source tree, without writing anything.

    `config` and `options` are those of `run_batch`.

    Raises:
        ConfigError: options contradict each other or do not fit these folders.
        LedgerError: the ledger cannot be read.
        SlideReadError: `source` is no folder, or cannot be read.
    """
    trees, config, options = _checked(source, target, config, options)
    inventory = _inventory(trees, config, options)
    known: Mapping[str, Entry] = {}
    records: dict[str, Settings] = {}
    carried: dict[str, Carried] = {}
    if Ledger.is_there(trees.target):
        with Ledger(trees.target, read_only=True) as ledger:
            known = _known(ledger, trees, inventory, options)
            records, carried = ledger.settings(), ledger.carried()
        known, past = _with_settings(_by_key(known, inventory, config, options), records, config)
        records |= {each.digest: each for each in past}
    configs = SlideConfigs(config, trees.source)
    return make_worklist(inventory, known, trees, config, configs, records, options, carried), inventory


def _inventory(trees: Trees, config: ConversionConfig, options: BatchOptions) -> Inventory:
    """Return the content of the source tree, without the rest of slides that are on their way out of it."""
    found = find_slides(options.selection(trees.source, config))
    unfinished = unfinished_files(trees.source)
    if options.carry_others:
        found = replace(found, left_out=LeftOut(orphans=found.left_out.orphans))
    slides = tuple(slide for slide in found.slides if slide.source not in unfinished)
    return replace(found, slides=slides) if unfinished else found


def _checked(
    source: Path, target: Path, config: ConversionConfig | None, options: BatchOptions | None
) -> tuple[Trees, ConversionConfig, BatchOptions]:
    if config is None and options is None:
        config, options = remembered_options(target)
    config, options = config or ConversionConfig(), options or BatchOptions()
    options.check(config)
    if not is_folder(source):
        found = "is no folder" if os.path.lexists(source) else "is no folder (no such file)"
        raise SlideReadError(f"{found}; name the tree of slides to convert", source)
    if target.exists() and not target.is_dir():
        raise ConfigError("is no folder; name a tree to write into", target)
    trees = Trees(source.absolute(), target.absolute())
    check_apart(source, target)
    if options.name_key is not None:
        options = replace(options, name_key=check_key_path(options.name_key, source, target))
    if options.files_from is not None:
        options = replace(options, listed=read_list(options.files_from, trees.source))
    return trees, with_absolute_files(config), options


def check_apart(source: Path, target: Path) -> None:
    """Check that no folder lies in both trees, even under different paths, as a mount can show it.

    Raises:
        ConfigError: the trees share a folder.
    """
    said = f"{source} and {target} overlap"
    here, there = source.resolve(), target.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise ConfigError(f"{said}: sources and targets need trees of their own")
    shown = dict(folders_of(here))
    for folder, path in folders_of(there):
        if folder in shown:
            one = f"{path} is the same folder as {shown[folder]}"
            raise ConfigError(f"{said}, for {one}: sources and targets need trees of their own")


def _known(ledger: Ledger, trees: Trees, inventory: Inventory, options: BatchOptions) -> dict[str, Entry]:
    """Return the entries of the ledger by their sources.

    Raises:
        ConfigError: the ledger is of another source tree, or all of its sources are gone at once.
    """
    before, now = ledger.fact(SOURCE), as_text(trees.source)
    if before is not None and before != now and not options.source_moved:
        raise ConfigError(
            f"it holds the conversions of {before}; take a target of its own for {now}, or give "
            "`source_moved=True` if that is the same tree by another path",
            trees.target,
        )
    known = {entry.source: entry for entry in ledger.entries()}
    lost = sum(1 for entry in known.values() if entry.is_converted and not entry.removal)
    if lost and not inventory.slides and not inventory.others and not (trees.source / QUARANTINE).is_dir():
        raise ConfigError(f"is empty, but {counted(lost, 'slide')} stood here: is it mounted?", trees.source)
    return known


def _by_key(
    known: Mapping[str, Entry], inventory: Inventory, config: ConversionConfig, options: BatchOptions
) -> dict[str, Entry]:
    """Return the entries by their sources.

    A rebuilt ledger names slides by their targets alone. The name key says which sources these are of.
    Without one, those slides of the tree say it whose targets lie in folders of other names.
    """
    key, found = options.name_key, {slide.source for slide in inventory.slides}
    if key is None:
        nameless = {name for name, entry in known.items() if name not in found and not entry.stamp}
        targets = assign_targets(found, config, {}) if nameless else {}
        names = {target: name for name, target in targets.items() if _folder(target) != _folder(name)}
    else:
        nameless = {name for name, entry in known.items() if name.rstrip("~") == entry.target}
        targets = assign_targets(found, config, {}, read_secret(key))
        names = read_names(key) | {target: name for name, target in targets.items()}
    named: dict[str, Entry] = {}
    for source, entry in known.items():
        is_nameless = entry.target_sha256 and source in nameless
        real = names.get(entry.target, source) if is_nameless else source
        if real == source or (real not in known and not path_flaw(real)):
            named.setdefault(real, replace(entry, source=real))
    return named


def _folder(text: str) -> str:
    return text.rpartition("/")[0]


def _with_settings(
    known: Mapping[str, Entry], records: Mapping[str, Settings], config: ConversionConfig
) -> tuple[dict[str, Entry], list[Settings]]:
    """Return the entries and the settings of earlier versions, which recorded their digests alone."""
    if all(entry.settings in records or not entry.settings for entry in known.values()):
        return dict(known), []
    past = past_settings(config)
    again = {
        source: replace(entry, settings=past[entry.settings].digest) if entry.settings in past else entry
        for source, entry in known.items()
    }
    used = {entry.settings for entry in known.values()}
    return again, [each for digest, each in past.items() if digest in used]


def _as_recorded(
    known: Mapping[str, Entry], trees: Trees, options: BatchOptions, log: Logger
) -> dict[str, Entry]:
    """Return the entries that the source tree says more of: acceptances, and one more run in quarantine."""
    sweep_records(trees.source)
    try:
        records = read_records(trees.source)
    except KeptError as exc:
        log.warning("days in quarantine are not counted: %s", exc)
        return {}
    for source in records.quarantine_times:
        if not os.path.lexists(trees.source / QUARANTINE / as_path(source)):
            remove_quarantine_time(trees.source, source)
    looked_at = {source: records.with_acceptance(entry) for source, entry in known.items()}
    changed = {source: entry for source, entry in looked_at.items() if entry != known[source]}
    held = (entry for entry in looked_at.values() if is_in_quarantine(entry, trees))
    try:
        changed |= {entry.source: entry for entry in _counted(held, trees, records, options)}
    except SlideWriteError as exc:
        log.warning("days in quarantine are not counted: %s", exc)
    return changed


def _counted(held: Iterator[Entry], trees: Trees, records: Records, options: BatchOptions) -> Iterator[Entry]:
    """Yield the entries of sources in quarantine after one more run, and record it in the source tree."""
    for entry in held:
        is_known = records.has_quarantine_time(entry)
        counted = (
            count_run_in_quarantine(records.with_quarantine_time(entry), options.quarantine_days)
            if is_known
            else restart_quarantine_time(entry)
        )
        write_quarantine_time(trees.source, counted)
        yield counted
