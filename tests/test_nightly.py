"""The page with examples for cron and systemd: other programs read what it says."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields

import pytest

from tests.paths import ROOT
from wsicomp.batch import BatchResult
from wsicomp.cli.commands import load_commands

PAGE = (ROOT / "docs/how-to/nightly.md").read_text()
UNITS = dict(
    re.findall(r"`/etc/systemd/system/([a-z.-]+)`:\n\n```ini\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
)


def flags_of(line):
    """The options of a command line of `wsicomp batch`."""
    words = shlex.split(line)
    assert words[0].endswith("/wsicomp")
    assert words[1] == "batch"
    return {word for word in words if word.startswith("--")}


def test_the_units_are_units():
    assert sorted(UNITS) == ["wsicomp-batch.service", "wsicomp-batch.timer"]
    for text in UNITS.values():
        unit = configparser.ConfigParser(interpolation=None)
        unit.optionxform = str
        unit.read_string(text)
        assert "Description" in unit["Unit"]


def test_the_command_lines_have_options_that_there_are():
    command = load_commands("batch")["batch"]
    known = {flag for option in command.options for flag in command.spellings(option)}
    (line,) = re.findall(r"^ExecStart=(.*)$", UNITS["wsicomp-batch.service"], re.MULTILINE)
    (crontab,) = re.findall(r"^```cron\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (job,) = (entry for entry in crontab.splitlines() if not re.match(r"[A-Z]+=", entry))
    times, command_line = re.fullmatch(r"((?:[\d*,/-]+ +){5})(.*)", job).groups()
    assert len(times.split()) == 5
    assert "%" not in command_line
    for flags in (flags_of(line), flags_of(command_line)):
        assert flags == {"--until", "--on-finish"} <= known


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_the_units(tmp_path):
    for name, text in UNITS.items():
        here = text.replace("/opt/wsicomp/.venv/bin/wsicomp", sys.executable)
        (tmp_path / name).write_text(re.sub("^(User|RequiresMountsFor)=.*\n", "", here, flags=re.MULTILINE))
    paths = [tmp_path / name for name in UNITS]
    done = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "wsicomp" in line] == []
    timer = re.search("OnCalendar=(.*)", UNITS["wsicomp-batch.timer"])[1]
    subprocess.run(["systemd-analyze", "calendar", timer], check=True, capture_output=True)


def test_the_script_is_one_and_uses_variables_that_there_are():
    (script,) = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    subprocess.run(["bash", "-n"], input=script.encode(), check=True)
    known = {f"WSICOMP_{field.name.upper()}" for field in fields(BatchResult)}
    known |= {f"WSICOMP_{name}" for name in ("STATE", "EXIT_CODE", "ERROR", "LEDGER", "LOG")}
    assert set(re.findall(r"WSICOMP_[A-Z_]+", PAGE)) <= known
