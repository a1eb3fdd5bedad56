"""Runs Python programs to their ends in processes that have imported the old stack already.

Importing Pyramid, SQLAlchemy and nefertari takes a command longer than its work, and the tests run
hundreds of them. Each program is still a process of its own, with its own arguments, environment
and output; it is forked from one that has done the imports and nothing else.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.paths import TOP

CONTEXT = multiprocessing.get_context("forkserver")
# What each of the package's commands imports before it reads its ini file, and the old stack.
PRELOADED = [
    "nefertari_search_tween.scripts.main",
    *("pyramid.config", "pyramid.paster", "pyramid_sqlalchemy", "sqlalchemy", "sqlalchemy_utils"),
    *("zope.sqlalchemy", "webtest", "elasticsearch", "luqum.parser", "click", "rich.progress"),
    *("dogpile.cache", "prometheus_client", "requests", "tests.support.forked"),
]


def run_python(
    *arguments: object,
    env: Mapping[str, str],
    cwd: Path = TOP,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run ``python`` with *arguments* (``-m MODULE ...`` or ``-c CODE ...``), to its end.

    :raises subprocess.TimeoutExpired: it takes longer than *timeout* seconds.
    """
    CONTEXT.set_forkserver_preload(PRELOADED)
    words = [str(each) for each in arguments]
    with tempfile.TemporaryDirectory(prefix="forked-") as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        process = CONTEXT.Process(
            target=_run, args=(words, dict(env), str(cwd), str(output), str(errors))
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout, _text(output), _text(errors))
        code = process.exitcode
        process.close()
        return subprocess.CompletedProcess(words, code, _text(output), _text(errors))


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _run(
    words: Sequence[str], environment: dict[str, str], cwd: str, output: str, errors: str
) -> None:
    """Do what a new interpreter would do with its command line."""
    for descriptor, file in ((1, output), (2, errors)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0:0] = ["", *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    words = list(words)
    quiet = environment.get("PYTHONWARNINGS") == "ignore"
    while words[:1] == ["-W"]:
        assert words[1] == "ignore", words
        quiet = True
        del words[:2]
    warnings.resetwarnings()
    warnings.simplefilter("ignore" if quiet else "default")
    option, program, *rest = words
    code = 0
    try:
        if option == "-m":
            sys.argv = [program, *rest]
            sys.modules.pop(program, None)
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            assert option == "-c", words
            sys.argv = ["-c", *rest]
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        code = _exit_code(end)
    except BaseException:  # noqa: BLE001 - as an interpreter: told, and the process ends
        traceback.print_exc()
        code = 1
    # As an interpreter ends: threads that are waited for, then what was registered.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _exit_code(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr)
    return 1
