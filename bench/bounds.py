"""The worst that a caller may send: its time by that of an ordinary search, and its memory.

    python -m bench.bounds [ROWS]

The flights (tests/apps/large) on the embedded backend. Each request has a process of its own, whose
peak of memory is shown; the ratios are those of an ordinary search in the same run, and of the
time-out.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pyramid.paster import get_app
from webtest import TestApp

from tests.apps.large import load

ROWS = 100_000
TIMEOUT = 5.0
ORDINARY = "/flights?q=carrier:UA&_limit=20"
_WORDS = quote('"' + " ".join(f"w{number}" for number in range(250)) + '"')
_REPEATED = quote('"' + "JFK " * 250 + '"')
_NESTED = "(((N|[0-9])*([A-Z]|[0-9]+)*)*)*"
_TERMS = "_aggregations.it.terms"


def _aggregation(**options: Any) -> str:
    return "&".join(f"{_TERMS}.{name}={quote(str(each))}" for name, each in options.items())


#: within what the settings below allow
WORST = {
    "a page as large as a search's": "/flights?q=*&_limit=10000",
    "a page beyond it, by the database": "/flights?_limit=20000",
    "the last page of a sort": "/flights?_sort=-dep_delay,tailnum&_start=9900&_limit=100",
    "a phrase of 250 words, 100 apart": f"/flights?q={_WORDS}~100",
    "a phrase of one word, 250 times": f"/flights?_search=true&origin={_REPEATED}~100",
    "256 words": f"/flights?q={quote(' '.join(['UA', 'JFK', 'LAX', 'EWR'] * 60))}",
    "32 near words": f"/flights?_search=true&tailnum={quote('N14228~2 ' * 30)}",
    "ten wildcards": f"/flights?_search=true&tailnum={quote('*1*2*3*4*5*6*7*8*9*')}",
    "a nested expression": f"/flights?_search=true&tailnum=/{quote(_NESTED)}~(a*)/",
    "terms by a nested expression": "/flights?"
    + _aggregation(field="tailnum", size=4000, include=_NESTED),
    "terms in terms": "/flights?"
    + _aggregation(field="tailnum", size=100)
    + "&_aggregations.it.aggs.in.terms.field=dest&_aggregations.it.aggs.in.terms.size=100",
    "a histogram of minutes": "/flights?_aggregations.it.date_histogram.field=time_hour"
    "&_aggregations.it.date_histogram.fixed_interval=10m",
    "a text of underscores": f"/flights?q={'_' * 8000}",
}


def measure(ini: str, options: dict[str, str], path: str, results: Any) -> None:
    """Put the seconds, the status, and the peak of memory of one request in MB."""
    app = TestApp(get_app(ini, options=options))
    app.get("/airlines")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.perf_counter()
    response = app.get(path, expect_errors=True)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results.put((seconds, response.status_int, peak, peak - before))


def in_a_process(ini: str, options: dict[str, str], path: str) -> Any:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=measure, args=(ini, options, path, results))
    process.start()
    result = results.get()
    process.join()
    return result


def prepare(folder: Path, rows: int) -> tuple[str, dict[str, str]]:
    """Load the flights, and build their index."""
    from nefertari_search_tween.scripts.main import cli

    ini = folder / "flights.ini"
    settings = {
        "nefertari_search.allow_regular_expressions": "true",
        "nefertari_search.allow_leading_wildcards": "true",
        "nefertari_search.search_timeout": f"{TIMEOUT:g}",
        "nefertari_search.primary_timeout": f"{TIMEOUT:g}",
        "elasticsearch.enable_aggregations": "true",
    }
    lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
    ini.write_text(load.INI.replace("auth = false\n", f"auth = false\n{lines}"))
    options = {
        "database": f"sqlite:///{folder}/flights.sqlite",
        "backend": f"embedded:{folder}/search",
        "elasticsearch_hosts": "",
    }
    variables = [f"{key}={value}" for key, value in options.items()]
    load.main(str(ini), str(rows), *variables)
    cli(["rebuild", str(ini), *variables, "--json"], standalone_mode=False)
    return str(ini), options


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ini, options = prepare(Path(folder), rows)
        ordinary, _, peak, _ = in_a_process(ini, options, ORDINARY)
        print(f"an ordinary search: {1000 * ordinary:.0f} ms, a peak of {peak:.0f} MB")
        worst = (0.0, "")
        for name, path in WORST.items():
            seconds, status, memory, more = in_a_process(ini, options, path)
            worst = max(worst, (memory, name))
            print(
                f"{name:<36} {status}  {seconds:6.2f} s, {seconds / ordinary:7.1f} of an ordinary "
                f"search, {seconds / TIMEOUT:5.2f} of the time-out  {memory:5.0f} MB "
                f"(+{more:.0f}), {memory / peak:.2f} of it"
            )
        print(f"the highest peak: {worst[0]:.0f} MB, {worst[0] / peak:.2f}: {worst[1]}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else ROWS)
