"""Asks both databases of a pair the same, compares, and makes what tells something smaller."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.apps.item_acls import PRINCIPALS
from tests.privacy.content import contents
from tests.privacy.differences import Caller, Difference, Target, differences
from tests.privacy.requests import Grammar
from tests.privacy.served import RAISED, SAFE, Answer, Request, Shape, State, serve
from tests.support.forked import CONTEXT, PRELOADED

#: requests for one pair of databases
PER_PAIR = 24
CLOSED = (401, 403, 404)
# What only the code knows. Values of fields have none of it.
_INTERNALS = re.compile(
    r"0x[0-9a-f]{6,}|\bSELECT\b.+\bFROM\b|sqlalchemy|mongoengine|pymongo|psycopg|Traceback"
    r"|object at |<class|has no attribute|NoneType|unhashable|not supported between|\.py\b"
    r"|positional argument|keyword argument|nefertari_search_tween|not iterable|Background on this",
    re.DOTALL,
)
_SCORE = re.compile(r'"(_score|max_score)": [0-9.e-]+')
ADMIN = "eve,g:admin"


class Process:
    """One application on one database, in a process of its own."""

    def __init__(self, ini: str, options: dict[str, str]) -> None:
        # Forked from one that has imported the old stack: the order of a set is the same in both.
        CONTEXT.set_forkserver_preload(PRELOADED)
        self._connection, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=serve, args=(theirs, ini, options), daemon=True)
        self._process.start()
        theirs.close()

    def receive(self) -> Any:
        return self._connection.recv()

    def send(self, work: str, arguments: Any) -> None:
        self._connection.send((work, arguments))

    def stop(self) -> None:
        self._connection.close()
        self._process.join(20)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@dataclass(frozen=True)
class Finding:
    """A request that tells something.

    :param leak: how the answers differ.
    """

    request: Request
    difference: str
    caller: str
    leak: str
    answers: tuple[Answer, Answer]
    pairs: int

    def __str__(self) -> str:
        texts = [each.lasting.text for each in self.answers]
        differing = [at for at, (one, other) in enumerate(zip(*texts)) if one != other]
        start = max(0, differing[0] - 60) if differing else 0
        lines = dict.fromkeys(f"    -> {each[start : start + 200]!r}" for each in texts)
        return "\n".join(
            [
                str(self.request),
                f"    {self.leak}, after {self.pairs} pairs; {self.difference}",
                *lines,
            ]
        )


@dataclass
class RunStats:
    """What a run has done."""

    pairs: int = 0
    databases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    engines: Counter[str] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    reads: Counter[bool] = field(default_factory=Counter)
    findings: dict[tuple[str, ...], Finding] = field(default_factory=dict)
    times: Counter[tuple[str, ...]] = field(default_factory=Counter)

    @property
    def answered(self) -> float:
        """The share of reads that were answered; writes are mostly refused."""
        return self.reads[True] / max(1, sum(self.reads.values()))

    def report(self, name: str) -> str:
        def shares(counts: Counter[Any]) -> str:
            return ", ".join(
                f"{count / self.pairs:.1%} {each}" for each, count in counts.most_common(14)
            )

        lines = [
            f"{name}: {self.pairs} pairs of answers over {self.databases} pairs of databases",
            f"  statuses: {shares(self.statuses)}; {self.answered:.1%} of reads answered",
            f"  X-Search-Engine: {shares(self.engines)}",
            f"  methods: {shares(self.methods)}",
            f"  requests that tell something: {len(self.findings)} kinds",
        ]
        for kind, finding in sorted(self.findings.items()):
            lines.append(f"  {self.times[kind]} times {' '.join(kind)}\n    {finding}")
        return "\n".join(lines)


class Pair:
    """Two databases with the same objects, and the applications over them."""

    def __init__(self, inis: list[str], options: list[dict[str, str]]) -> None:
        self.processes = [Process(*each) for each in zip(inis, options)]
        self.shape: Shape = self._all()[0]

    def stop(self) -> None:
        for each in self.processes:
            each.stop()

    def _all(self) -> list[Any]:
        return [each.receive() for each in self.processes]

    def reach(self, one: State, other: State) -> list[State]:
        """Write what the databases hold; returns what they hold then."""
        for process, state in zip(self.processes, (one, other)):
            process.send("reach", state)
        return self._all()

    def ask(self, requests: list[Request]) -> list[tuple[Answer, Answer]]:
        for process in self.processes:
            process.send("ask", requests)
        return list(zip(*self._all()))


def leak_of(answers: tuple[Answer, Answer], difference: Difference) -> str:
    """How the answers differ, or what they tell that only the code should know; '' for nothing."""
    one, other = (_comparable(each, difference) for each in answers)
    if one.status != other.status:
        return f"status {one.status} or {other.status}"
    if one.headers != other.headers:
        names = {name for name, _ in set(one.headers) ^ set(other.headers)}
        return f"headers {', '.join(sorted(names))}"
    # Written anew, a hidden value may be what it was: that is no change, and nobody sees it.
    if one.changed != other.changed and difference.kind != "value":
        return f"changes {one.changed} or {other.changed} objects"
    if one.status == RAISED:
        return f"raises {one.text[:60]}"
    internals = _INTERNALS.search(one.text)
    if internals is not None:
        return f"shows {re.sub('[0-9]+', '', internals[0][:24])!r}"
    if one.text != other.text:
        return "body"
    return ""


def _comparable(answer: Answer, difference: Difference) -> Answer:
    lasting = answer.lasting
    if difference.scores_differ:
        return lasting._replace(text=_SCORE.sub(r'"\1": 0', lasting.text))
    return lasting


class Run:
    """Random requests to random pairs.

    :param callers: principals of those who ask.
    :param most: how many pairs of answers to compare.
    :param warm: ask as an admin first, so that a cache has an answer that is not the caller's.
    :param announce: called with each finding of a new kind.
    """

    def __init__(
        self,
        pair: Pair,
        callers: list[str],
        most: int,
        warm: bool = False,
        announce: Callable[[Finding], None] = lambda finding: None,
    ) -> None:
        self.pair = pair
        self.announce = announce
        self.most = most
        self.warm = warm
        self.stats = RunStats()
        self._grammars: dict[Any, Grammar] = {}
        self._restored: State = {}
        self.callers = [Caller(each) for each in callers]
        base = contents(pair.shape, 1)
        self.base, other = pair.reach(base, base)
        assert self.base == other
        self.closed = self._closed()

    def _closed(self) -> set[tuple[str, Caller]]:
        """Collections, and callers who may not read them: nothing is to be learnt there."""
        collections = [each for each in self.pair.shape.collections if not each.parents]
        reads = [(each.path, caller) for each in collections for caller in self.callers]
        requests = [
            Request(path, headers=((PRINCIPALS, caller.principals),)) for path, caller in reads
        ]
        answers = self.pair.ask(requests)
        return {each for each, (answer, _) in zip(reads, answers) if answer.status in CLOSED}

    def run(self, number: int) -> RunStats:
        """Compare; the same for the same *number*."""
        strategy = differences(self.pair.shape, self.base, self.callers)

        @seed(number)
        @settings(
            max_examples=-(-self.most // PER_PAIR),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(data=st.data())
        def compare(data: Any) -> None:
            difference = data.draw(strategy)
            targets = [
                each
                for each in difference.targets
                if (each.collection.path, difference.caller) not in self.closed
            ]
            # Half of them where the field is that differs.
            near = [each for each in targets if difference.focus[0] in each.collection.models]
            some = st.sampled_from(targets) | st.sampled_from(near or targets)
            requests = []
            for _ in range(PER_PAIR):
                target = data.draw(some)
                requests.append(data.draw(self.grammar(target, difference).requests))
            self.compare(difference, requests)

        compare()
        return self.stats

    def grammar(self, target: Target, difference: Difference) -> Grammar:
        flags = (difference.reads_only, difference.scores_differ, difference.items_too)
        options = (*flags, difference.focus, difference.pages_only)
        key = (target.collection.path, target.parents, difference.caller, *options)
        if key not in self._grammars:
            grammar = Grammar(self.pair.shape, target, difference.caller, *options)
            self._grammars[key] = grammar
        return self._grammars[key]

    def compare(self, difference: Difference, requests: list[Request]) -> None:
        # What the pair before differed in is as it was again.
        one, other = ({**self._restored, **each} for each in difference.states)
        self._restored = {name: self.base[name] for name in difference.states[0]}
        self.pair.reach(one, other)
        self.stats.databases += 1
        if self.warm:
            self.pair.ask([_as_admin(each) for each in requests])
        for request, answers in zip(requests, self.pair.ask(requests)):
            self._note(request, answers[0])
            leak = leak_of(answers, difference)
            if leak:
                self._record(difference, request, answers, leak)

    def _note(self, request: Request, answer: Answer) -> None:
        stats = self.stats
        stats.pairs += 1
        stats.statuses[answer.status] += 1
        stats.engines[answer.engine or "-"] += 1
        tunnelled = re.search(r"(?:^|&)_m=(\w+)", request.query)
        stats.methods[f"_m={tunnelled[1]}" if tunnelled else request.method] += 1
        if request.method == "GET" and not tunnelled:
            stats.reads[answer.status // 100 == 2] += 1

    def _record(
        self, difference: Difference, request: Request, answers: tuple[Answer, Answer], leak: str
    ) -> None:
        small, answers, leak = self.minimised(difference, request, answers, leak)
        kind = _kind(small, leak, difference.kind)
        self.stats.times[kind] += 1
        before = self.stats.findings.get(kind)
        if before is None or len(str(small)) < len(str(before.request)):
            pairs = self.stats.pairs if before is None else before.pairs
            finding = Finding(
                small, difference.about, difference.caller.principals, leak, answers, pairs
            )
            self.stats.findings[kind] = finding
            if before is None:
                self.announce(finding)

    def minimised(
        self, difference: Difference, request: Request, answers: tuple[Answer, Answer], leak: str
    ) -> tuple[Request, tuple[Answer, Answer], str]:
        """The smallest request that tells the same, or something, by leaving parts out."""
        reach = _sort_of(leak)
        progress = True
        while progress:
            progress = False
            for smaller in _smaller(request):
                if self.warm:
                    self.pair.ask([_as_admin(smaller)])
                (again,) = self.pair.ask([smaller])
                again_leak = leak_of(again, difference)
                if _sort_of(again_leak) == reach:
                    request, answers, leak, progress = smaller, again, again_leak, True
                    break
        return request, answers, leak


def _as_admin(request: Request) -> Request:
    """The same read by an admin; a write is reads once only."""
    method = request.method if request.method in SAFE else "GET"
    query = "&".join(each for each in request.query.split("&") if not each.startswith("_m="))
    headers = tuple(
        (name, ADMIN if name == PRINCIPALS else value) for name, value in request.headers
    )
    return replace(request, method=method, headers=headers, query=query, body=None)


def _sort_of(leak: str) -> str:
    return leak.partition(" ")[0]


def _smaller(request: Request) -> Iterator[Request]:
    pieces = request.query.split("&") if request.query else []
    for number in range(len(pieces)):
        yield replace(request, query="&".join([*pieces[:number], *pieces[number + 1 :]]))
    if any(name == "Accept" and value for name, value in request.headers):
        headers = tuple(each for each in request.headers if each[0] != "Accept")
        yield replace(request, headers=headers)
    if request.method not in ("GET", "PATCH"):
        yield replace(request, method="GET", body=None)
    plain = _unquoted(request.query)
    if plain != request.query:
        yield replace(request, query=plain)


def _unquoted(query: str) -> str:
    """The names of parameters without needless percents."""
    return re.sub(
        r"%([0-9a-f]{2})(?=[^&=]*=)",
        lambda match: (
            chr(int(match[1], 16)) if re.match(r"[\w.$-]", chr(int(match[1], 16))) else match[0]
        ),
        query,
    )


def _kind(request: Request, leak: str, difference: str) -> tuple[str, ...]:
    """What findings have in common that are one."""
    names = []
    for piece in _unquoted(request.query).split("&") if request.query else []:
        name, _, value = piece.partition("=")
        if name.startswith(("_aggs", "_aggregations")):
            name = re.sub(r"^_agg\w+", "_aggs", name)
        elif not name.startswith("_") and name != "q":
            name = "FIELD" + re.sub(r"^\w+?(?=__|\.\$|%24|$)", "", name)
        sign = "-" if name in ("_fields", "_sort") and value.startswith("-") else ""
        names.append(name + sign)
    accepts = [value for name, value in request.headers if name == "Accept" and value]
    about = f"{_sort_of(leak)} by {difference}"
    if leak.startswith("shows"):
        # Whatever the modifier, the error is that of another's.
        about, names = leak, [re.sub(r"^FIELD\W.*|^FIELD__.*", "FIELD__*", each) for each in names]
    return (request.method, "&".join(sorted(set(names))), *accepts, about)
