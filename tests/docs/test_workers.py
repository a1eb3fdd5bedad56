"""docs/workers.rst: its commands run, its output is the program's."""

from __future__ import annotations

import configparser
import json
import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from tests.servers.base import free_port
from tests.support.processes import PROGRAM, SOON, TOP, Place

PAGE = (TOP / "docs" / "workers.rst").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    \$ nefertari-search (.*)\n(?:    (?!\$)(.+))?", PAGE, re.MULTILINE)
UNIT = re.search(r"^   \[Unit\](?:\n|   .*\n)+", PAGE, re.MULTILINE)[0]
METRICS = re.findall(r"^``(nefertari_search_\w+)", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory, elasticsearch_url):
    folder = tmp_path_factory.mktemp("page")
    site = Place(folder, f"sqlite:///{folder / 'zoo.sqlite'}", elasticsearch_url, sync="inline")
    yield site
    for index in site.ask("GET", "*"):
        site.ask("DELETE", index[len(site.prefix) + 1 :])


def line_of(site, command):
    """The command as it is written, with the ini file and the port of the test."""
    words = command.split()
    ini = next(position for position, word in enumerate(words) if word.endswith(".ini"))
    variables = [f"{key}={value}" for key, value in site.variables.items()]
    port = str(free_port())
    after = [port if word == "9464" else word for word in words[ini + 1 :]]
    return [sys.executable, *PROGRAM, *words[:ini], str(site.ini), *variables, *after], port


def first_line(site, command):
    """What it prints first; a worker is stopped then."""
    line, port = line_of(site, command)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=site.environment)
    try:
        printed = process.stdout.readline()
        if "--metrics-port" in command:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                printed = answer.read().decode()
        if command.startswith("worker "):
            process.send_signal(signal.SIGTERM)
        assert process.wait(SOON) == 0
        return printed
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_there_are_commands():
    assert len(COMMANDS) == 7
    assert {command.split()[0] for command, _ in COMMANDS} == {"worker", "drain", "dead-letters"}


@pytest.mark.parametrize(("command", "printed"), COMMANDS, ids=[each[0] for each in COMMANDS])
def test_a_command_of_the_page_runs_and_prints_what_it_says(site, command, printed):
    line = first_line(site, command)
    if printed:
        assert line == printed + "\n"
    if "--json" in command:
        assert set(json.loads(line)) == set(json.loads(printed))
    if "--metrics-port" in command:
        metrics = set(re.findall(r"^(nefertari_search_\w+)", line, re.MULTILINE))
        assert metrics == set(METRICS)


def test_the_unit_starts_a_worker(site):
    unit = configparser.ConfigParser()
    unit.optionxform = str
    unit.read_string(re.sub(r"(?m)^   ", "", UNIT))
    program, command = unit["Service"]["ExecStart"].split(" ", 1)
    assert program.endswith("/nefertari-search")
    assert first_line(site, command).startswith("0 rows pending")
    # Longer than a claim, or it would be killed in the middle of one.
    assert int(unit["Service"]["TimeoutStopSec"]) > 20


def options_of(command):
    done = subprocess.run(
        [sys.executable, *PROGRAM, command, "--help"], capture_output=True, text=True, timeout=60
    )
    return set(re.findall(r"--[a-z-]+", done.stdout)) - {"--help", "--models"}


def test_every_option_is_on_the_page():
    options = options_of("worker")
    assert options == {
        "--report-interval",
        "--poll-interval",
        "--metrics-port",
        "--metrics-address",
        "--json",
    }
    for option in options:
        assert option in PAGE
    assert options_of("drain") == {"--json"}
