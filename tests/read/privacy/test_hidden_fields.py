"""Nobody learns anything about a field that they may not see.

The suite asks the same questions of collections that differ in hidden values only, and compares
the answers whole: status, headers and body. What is not in the answer can't be learnt, whether
by counting, sorting, wildcards or errors. A second suite asks with the protection off, and finds
that the questions would tell.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from nefertari import RESERVED_PARAMS

from nefertari_search_tween.search import context, get_collection
from nefertari_search_tween.search.aggregations import filters as inner
from nefertari_search_tween.search.aggregations import types
from nefertari_search_tween.search.privacy import ALWAYS_VISIBLE
from nefertari_search_tween.search.query import transparent_read
from tests.apps.private_fields.running import Answer, Club, rules_of_models
from tests.privacy.requests import REQUIRED
from tests.support.tiers import sample

pytestmark = pytest.mark.slow

RULES = rules_of_models()
CALLERS = ("", "ann")
# What every member has, besides the fields of its own class.
LOGIN = ("username", "email", "password", "groups")

#: a collection, and the model of what it shows by the path that it is shown under
SHOWN = {
    "/stories": {"": "Story", "author.": "Member", "author.profile.": "Profile"},
    "/members": {"": "Member", "profile.": "Profile", "badges.": "Badge"},
    "/profiles": {"": "Profile", "member.": "Member"},
    "/found_stories": {"": "Story"},
    "/members/bob/stories": {"": "Story"},
}
#: views with a narrower of their own: less is asked of them
NARROWED = ("/found_stories", "/members/bob/stories")
#: requests for several collections: a name is hidden when none of the models shows it
COMBINATIONS = {"/members,stories": ("/members", "/stories")}
#: what hidden values are looked for by, by kind
WORDS = {
    "text": ("secretone", "secret*"),
    "number": ("7", "[2 TO 4]"),
    "date": ("2014", "[2015 TO *]"),
    "flag": ("true",),
}
#: what `vary` changes
VARIED = {"note", "rank", "price", "due", "flagged", "marks", "body", "rating", "diary", "salary"}
VARIED |= {"email", "motto", "age", "ssn", "income", "phone", "label"}
NUMBERS = {"age", "salary", "rating", "rank", "income", "price", "id", "api_key"}


def kind_of(name: str) -> str:
    last = name.rpartition(".")[2]
    if last in NUMBERS:
        return "number"
    return {"due": "date", "flagged": "flag"}.get(last, "text")


class Carrier(NamedTuple):
    """A way to name a field in a request.

    :param query: ``{f}`` is the field, ``{v}`` a value.
    :param parameters: what it is a probe of.
    :param tells: with the protection off, it tells something about some hidden value.
    :param every: sent for every hidden field; otherwise for one of each kind and each path.
    """

    query: str
    parameters: tuple[str, ...]
    tells: bool = True
    every: bool = False


CARRIERS = (
    # filters
    Carrier("{f}={v}", ("{field}",), every=True),
    Carrier("_search=true&{f}={v}", ("{field}", "_search"), every=True),
    Carrier("_search=false&{f}={v}", ("{field}", "_search"), every=True),
    Carrier("_search=true&{f}=NOT *", ("{field}",)),
    Carrier("_search=true&{f}={v}&{f}=x", ("{field}",)),
    Carrier("{f}={v}&_count", ("_count", "{field}")),
    Carrier("_search=true&{f}={v}&_count", ("_count",)),
    Carrier("_search=false&{f}={v}&_count=1", ("_count",)),
    Carrier("{f}__bool={v}", ("{field}__bool",), tells=False),
    Carrier("{f}__in={v}", ("{field}__in",), tells=False),
    Carrier("{f}__all={v}", ("{field}__all",), tells=False),
    Carrier("__{f}={v}", ("__{field}",), tells=False),
    Carrier("{f}=_all", ("{field}",), tells=False),
    # words
    Carrier("q={v}", ("q",)),
    Carrier("q={f}:{v}", ("q",), every=True),
    Carrier("q=NOT {f}:{v}", ("q",)),
    Carrier("q=(title:x OR {f}:({v} OR zzz))", ("q",)),
    Carrier("q={f}:/secret.*/", ("q",)),
    Carrier("q={f}:*", ("q",)),
    Carrier("q=*cret*", ("q",)),
    Carrier("_search=true&_type=Story OR {f}:{v}", ("{field}", "_type")),
    Carrier("_search=true&_pk=1 OR {f}:{v}", ("{field}", "_pk")),
    Carrier("q={v}&_search_fields={f}", ("_search_fields",), every=True),
    Carrier("q={v}&_search_fields=_pk,{f}", ("_search_fields",)),
    Carrier("_search=true&_search_fields={f}", ("_search_fields",), tells=False),
    # order
    Carrier("_sort={f}", ("_sort",), every=True),
    Carrier("_sort=-{f}&_limit=2", ("_sort", "_limit")),
    Carrier("_search=true&_sort=-{f}&_start=1&_limit=2", ("_sort", "_start")),
    Carrier("_search=false&_sort={f}&_page=1&_limit=2", ("_sort", "_page")),
    Carrier("q=*&_sort=_type,{f}", ("_sort",)),
    # what is shown
    Carrier("_fields={f}", ("_fields",), tells=False),
    Carrier("_fields=-_type,-_pk", ("_fields",), tells=False),
    Carrier("_search=true&_fields={f}", ("_fields",), tells=False),
    Carrier("_search=true&_fields=-_type", ("_fields",), tells=False),
    Carrier("_search=true&_fields=-_type,-_pk,{f}", ("_fields",), tells=False),
    # what only Python callers may give
    Carrier('body={{"query":{{"term":{{"{f}":"{v}"}}}}}}', ("body",), tells=False),
    Carrier('_search=true&body={{"query":{{"exists":{{"field":"{f}"}}}}}}', ("body",), tells=False),
    Carrier("_raise_on_empty=1&{f}={v}", ("_raise_on_empty",), tells=False),
    Carrier("_explain=1&{f}={v}", ("_explain",), tells=False),
    Carrier("_strict=&{f}={v}", ("_strict",)),
    Carrier("_strict=&_sort={f}", ("_strict", "_sort")),
    Carrier("_item_request=1&{f}={v}", ("_item_request",)),
    Carrier("query_set=1&{f}={v}", ("query_set",), tells=False),
    Carrier("_query_secondary=true&{f}={v}", ("_query_secondary",), tells=False),
    Carrier("_query_secondary=1&_sort={f}", ("_query_secondary",), tells=False),
    Carrier("_refresh_index=true&{f}={v}", ("_refresh_index",)),
    Carrier("__confirmation=1&{f}={v}", ("__confirmation",)),
    Carrier("_principals=x&{f}={v}", ("_principals",), tells=False),
    # aggregations; the types and their options are walked in `aggregations`
    Carrier("_aggs.a.terms.field={f}", ("_aggs",), every=True),
    Carrier("_aggregations.a.value_count.field={f}", ("_aggregations",)),
    Carrier("_aggs.a.filter.exists.field={f}", ("_aggs",)),
    Carrier("_aggs.a.filters.filters.x.query_string.query={f}:{v}", ("_aggs",)),
    Carrier("_aggs.a.top_hits.sort={f}&_aggs.a.top_hits.size=1", ("_aggs",), tells=False),
    Carrier("_aggs.a.top_hits._source={f}", ("_aggs",), tells=False),
    Carrier("_aggs.a.top_hits.size=9", ("_aggs",), tells=False),
    Carrier("{f}={v}&_aggs.a.value_count.field=_pk", ("{field}",)),
    Carrier("q={v}&_aggs.a.value_count.field=_pk", ("q",)),
    Carrier("_aggs.a.terms.script=doc['{f}']", ("_aggs",), tells=False),
)


class Probe(NamedTuple):
    carrier: Carrier
    caller: str
    path: str


def hidden_names(collection: str, caller: str) -> list[str]:
    """Fields that *caller* may not name in a search of *collection*, nested ones by their path."""
    parts = [_names(each, caller) for each in COMBINATIONS.get(collection, (collection,))]
    visible_names = {name for visible, _ in parts for name in visible}
    return [name for _, hidden in parts for name in hidden if name not in visible_names]


def _names(collection: str, caller: str) -> tuple[list[str], list[str]]:
    """Names of fields: those that *caller* may see, and the others."""
    visible, names = [], []
    prefixes = {""}
    for prefix, model in SHOWN[collection].items():
        rules = RULES[model]
        fields = (*LOGIN, *rules.fields, "api_key") if model == "Member" else rules.fields
        parent = prefix[:-1].rpartition(".")[0]
        reachable = prefix == "" or (f"{parent}." if parent else "") in prefixes
        owner = SHOWN[collection][f"{parent}." if parent else ""]
        if prefix and reachable and prefix[:-1].rpartition(".")[2] in RULES[owner].visible(caller):
            prefixes.add(prefix)
        for name in fields:
            if prefix in prefixes and name in rules.visible(caller):
                visible.append(prefix + name)
            else:
                names.append(prefix + name)
    return visible, names


def probes() -> list[Probe]:
    by_request: dict[tuple[str, str], Probe] = {}
    for caller in CALLERS:
        for collection in (*SHOWN, *COMBINATIONS):
            names = hidden_names(collection, caller)
            # Those whose values vary come last, and one of each kind and path is kept; of several
            # collections, one of each kind.
            names.sort(key=lambda name: name.rpartition(".")[2] in VARIED)
            some = {
                (kind_of(name), collection in SHOWN and name.rpartition(".")[0]): name
                for name in names
            }.values()
            for carrier in CARRIERS:
                if collection in NARROWED and not carrier.every:
                    continue
                for name in names if carrier.every and collection in SHOWN else some:
                    words = WORDS[kind_of(name)]
                    for word in words if carrier.every else words[:1]:
                        query = carrier.query.format(f=name, v=word)
                        path = f"{collection}?{quote(query, safe='=&')}"
                        by_request[caller, path] = Probe(carrier, caller, path)
    return [*by_request.values(), *aggregations()]


def aggregations() -> list[Probe]:
    """Every type of aggregation with every option, each given the names of hidden fields in
    all the ways in which an option may take one."""
    queries = []
    for name, kind in types.KINDS.items():
        here = f"_aggs.a.{name}"
        needed = [REQUIRED[each] for each in kind.required]
        for option in (*kind.options, "script", "unknown", ""):
            forms = [f"{option}={{f}}", f"{option}.0.{{f}}=asc", f"{option}.0.s.terms.field={{f}}"]
            for form in forms if option else [""]:
                parameters = [form] if form else []
                parameters += [each for each in needed if not each.startswith(f"{option}=")]
                queries.append(
                    "&".join(f"{here}.{each}" for each in parameters).replace("%s", here)
                )
    for name in inner._QUERIES:
        for form in ("{f}=secretone", "field={f}", "query={f}:secretone", "{f}.gte=3"):
            queries.append(f"_aggs.a.filter.{name}.{form}")
        queries.append(f"_aggs.a.filter.bool.must_not.0.{name}.{{f}}=secretone")
    # Turn by turn: numbers of the documents themselves, and of nested ones.
    fields = (("ann", "rank"), ("", "author.salary"), ("", "rating"))
    return [
        Probe(AGGREGATION, caller, f"/stories?{quote(query.format(f=name), safe='=&')}")
        for position, query in enumerate(dict.fromkeys(queries))
        for caller, name in [fields[position % len(fields)]]
    ]


AGGREGATION = Carrier("", ("_aggs",))


# The collections


def fill(club: Club) -> None:
    """The objects, in the first of three states; see `vary`."""
    members = (("ann", ["user"]), ("bob", ["user"]), ("cal", ["user"]), ("eve", ["admin"]))
    changes: list[tuple[str, Any, dict[str, Any]]] = [
        (
            "Member",
            name,
            {
                "nick": f"nick {name}",
                "email": f"{name}@example.org",
                "password": "x" * 10,
                "groups": groups,
                "token": f"token-{name}",
            },
        )
        for name, groups in members
    ]
    for number, name in enumerate(("ann", "bob", "cal"), 1):
        changes.append(("Profile", number, {"city": f"city {number}", "member": name}))
        changes.append(("Badge", number, {"label": "x", "member": name}))
    for number in range(1, 7):
        story = {"title": f"title {number}", "shelf": "open" if number < 5 else "closed"}
        changes.append(("Story", number, {**story, "author": ("bob", "cal")[number % 2]}))
    changes.append(("Draft", 1, {"title": "draft", "plot": "secretone"}))
    club.write(changes)
    vary(club, 0, 0)


def filled(club: Club) -> Iterator[Club]:
    """Run *club*, filled."""
    try:
        club.start()
        fill(club)
        yield club
    finally:
        club.stop()


def vary(club: Club, hidden: int, members_only: int) -> None:
    """Set what nobody but admins sees to one of two values, and what members see to one of two.

    Matches, order, presence and numbers of nested objects differ between the two.
    """
    if getattr(club, "varied", None) == (hidden, members_only):
        return
    club.varied = (hidden, members_only)

    def values(key: int, which: int) -> tuple[Any, Any, Any]:
        if which == 0:
            return f"secretone {key}", key, None if key % 2 else "2014-05-06"
        return (None if key == 2 else f"another {9 - key}"), 9 - key, "2015-01-01"

    changes: list[tuple[str, Any, dict[str, Any]]] = []
    for key in range(1, 7):
        text, number, moment = values(key, hidden)
        story = {"note": text, "rank": number, "price": number, "due": moment}
        story |= {"flagged": bool(number % 2), "marks": [text or "none"]}
        text, number, _ = values(key, members_only)
        changes.append(("Story", key, {**story, "body": text, "rating": number}))
    for key, name in enumerate(("bob", "cal"), 2):
        text, number, _ = values(key, hidden)
        email = f"{(text or 'none').replace(' ', '.')}@example.org"
        member = {"diary": text, "salary": number, "email": email, "password": f"{text} password"}
        profile = {"ssn": text, "income": number}
        changes.append(("Badge", key, {"label": text}))
        text, number, _ = values(key, members_only)
        changes.append(("Member", name, {**member, "motto": text, "age": number}))
        changes.append(("Profile", key, {**profile, "phone": text}))
    club.write(changes)


def alike(probe: Probe) -> tuple[str, ...]:
    """What probes have in common of which a few are enough."""
    collection, _, query = probe.path.partition("?")
    of_type = query.split(".")[2:3] if probe.carrier is AGGREGATION else []
    return (probe.carrier.query, probe.caller, collection, *of_type)


def answers(club: Club, selection: list[Probe]) -> list[Answer]:
    return [club.ask(probe.path, probe.caller) for probe in selection]


def differing(club: Club, selection: list[Probe]) -> list[tuple[Probe, Answer, Answer]]:
    """Those of *selection* whose answers differ when only what the caller may not see does."""
    anonymous = [probe for probe in selection if not probe.caller]
    members = [probe for probe in selection if probe.caller]
    vary(club, 0, 0)
    first = [*answers(club, anonymous), *answers(club, members)]
    if members:
        vary(club, 1, 0)
    of_members = answers(club, members)
    vary(club, 1, 1)
    second = [*answers(club, anonymous), *of_members]
    return [
        (probe, one, other)
        for probe, one, other in zip([*anonymous, *members], first, second)
        if one.lasting != other.lasting
    ]


@pytest.mark.thorough
def test_no_probe_tells_anything_about_a_hidden_value(club, record_property):
    selection = sample(probes(), alike, 2)
    leaks = differing(club, selection)
    assert not leaks, [(probe.caller, probe.path) for probe, _, _ in leaks[:20]]
    by_caller = Counter(probe.caller or "anonymous" for probe in selection)
    record_property(
        "compared",
        f"privacy: {len(selection)} probes told nothing about hidden values "
        f"({', '.join(f'{number} of {name}' for name, number in sorted(by_caller.items()))})",
    )
    assert len(selection) >= 200


@pytest.mark.long
def test_with_the_protection_off_the_probes_tell(club):
    """The suite can fail: what it asks, it would hear."""
    club.start(hidden_fields="allow")
    try:
        selection = [
            probe
            for probe in probes()
            if not probe.caller and probe.path.partition("?")[0] in ("/stories", *COMBINATIONS)
        ]
        leaks = Counter()
        for probe, _, _ in differing(club, selection):
            leaks[probe.carrier.query] += 1
            leaks[probe.path.partition("?")[0]] += 1
    finally:
        club.start()
    assert all(leaks[collection] > 20 for collection in COMBINATIONS)
    for carrier in (*CARRIERS, AGGREGATION):
        assert not carrier.tells or leaks[carrier.query], carrier


def test_every_parameter_has_a_probe():
    """A parameter that is new to nefertari, to this package or to the primary fails here."""
    from nefertari_sqla import BaseMixin

    parameters = {
        *RESERVED_PARAMS,
        *transparent_read._KNOWN,
        *context.NUMBERS,
        *context.AGGREGATIONS,
    }
    parameters |= {
        context.FLAG,
        *context.SEARCH_PARAMETERS,
        get_collection.OVERRIDE,
        *ALWAYS_VISIBLE,
    }
    parameters |= {"{field}" + each for each in transparent_read._MODIFIERS}
    # Another test's application may have taken its place in this process.
    original = getattr(BaseMixin.get_collection, "intercepts", BaseMixin.get_collection)
    source = inspect.getsource(original)
    parameters |= set(re.findall(r"""params\.pop\(['"](\w+)['"]""", source))
    parameters |= set(re.findall(r"""['"](\w+)['"] in params""", source))
    parameters |= {"_raise_on_empty", "body"}
    assert len(parameters) > 20
    probed = {name for carrier in CARRIERS for name in carrier.parameters}
    assert parameters - probed - {"_self"} == set()


# What the answers are


@pytest.mark.parametrize(
    ("caller", "path", "hidden"),
    [
        ("", "/stories?{}=3", "rank"),
        ("", "/stories?_search=true&{}=3", "rating"),
        ("ann", "/stories?_search=false&{}=3", "note"),
        ("ann", "/stories?_sort=-{}", "rank"),
        ("ann", "/stories?q=x&_sort={}", "price"),
        ("ann", "/stories?q={}:x", "author.salary"),
        ("ann", "/stories?q=x&_search_fields={}", "note"),
        ("ann", "/stories?q=x&_fields={}", "note"),
        ("", "/members,stories?{}=3", "salary"),
    ],
)
def test_a_hidden_field_is_one_that_does_not_exist(club, caller, path, hidden):
    """But for its name the answer is the same."""
    unknown = re.sub(r"[a-z]+$", "nofield", hidden)
    one, other = (club.ask(path.format(name), caller) for name in (hidden, unknown))
    assert one.status == other.status == 400
    messages = [
        re.sub(r'"request_url": "[^"]*"', "", answer.lasting[2]).replace(name, "it")
        for answer, name in ((one, hidden), (other, unknown))
    ]
    assert messages[0] == messages[1]
    assert one.headers["X-Search-Engine"] == other.headers["X-Search-Engine"]


def test_admins_name_every_field(club):
    for path in (
        "/stories?rank=3",
        "/stories?_search=false&rank=3",
        "/stories?_search=true&rank=[1 TO 9]",
        "/stories?q=note:*&_sort=-rank",
        "/members?_sort=-salary",
        "/stories?_aggs.a.terms.field=note",
    ):
        assert club.ask(path.replace(" ", "%20"), "eve").status == 200, path


def test_admins_sort_by_what_is_nested(club):
    assert club.ask("/stories?q=note:*&_sort=-author.salary", "eve").status == 200


def test_fields_are_for_who_may_name_them(club):
    """What members see, they search; the anonymous do not."""
    for path in ("/stories?rating=3", "/stories?q=body:*", "/stories?_sort=-rating"):
        assert club.ask(path, "ann").status == 200, path
        assert club.ask(path).status == 400, path
    assert club.ask("/stories?author.age=[1 TO 99]&_search=true".replace(" ", "%20"), "ann").json[
        "total"
    ]


def test_a_view_may_narrow_by_what_is_hidden(club):
    """It is the application that names the field; the caller still may not."""
    for path in ("/shelved_stories", "/found_stories", "/shelved_stories?q=title"):
        answer = club.ask(path)
        assert [each["id"] for each in answer.json["data"]] == [1, 2, 3, 4], path
        assert answer.headers["X-Search-Engine"] == "mirror"
    assert club.ask("/shelved_stories?shelf=open").status == 400
    # This view puts its own value where the caller typed one: it has no effect.
    for value in ("open", "closed", "*"):
        answer = club.ask(f"/found_stories?shelf={value}")
        assert [each["id"] for each in answer.json["data"]] == [1, 2, 3, 4], value
    assert club.ask("/found_stories?title=x%20OR%20shelf:closed").status == 400


def test_what_a_write_selects_is_told_by_its_number(club):
    """So nobody selects by what is hidden, whoever may write."""
    club.sql("UPDATE members_users SET groups = ? WHERE username = 'cal'", '["editor"]')
    for path in ("/stories", "/found_stories"):
        refused = club.ask(f"{path}?rank=3", "cal", "PATCH", {"title": "changed"})
        assert refused.status == 400, refused.text
        done = club.ask(f"{path}?title=nothing", "cal", "PATCH", {"title": "changed"})
        assert done.json["message"] == "Updated 0 Story(s) objects"


def test_an_object_of_no_model_is_not_shown(club):
    assert club.ask("/strange_stories", "ann").json["data"] == [
        {"_type": "Nothing", "_pk": "1", "_self": "http://members.example/strange_stories"}
    ]
    assert club.ask("/strange_stories", "eve").json["data"][0]["note"] == "hidden"


def test_keys_of_an_own_rendering_follow_the_rules(club):
    for path in ("/drafts", "/drafts?q=draft", "/drafts?_search=true"):
        (draft,) = club.ask(path, "ann").json["data"]
        assert draft["shouted"] == "draft!" and "whispered" not in draft and "plot" not in draft
    for path in ("/drafts?q=secretone", "/drafts?_search=true&title=secretone"):
        assert club.ask(path, "ann").json["total"] == 0
    assert club.ask("/drafts?_search=true&whispered=x", "ann").status == 400


def test_public_limits(club):
    """The anonymous see so many, and are told of no more."""
    try:
        club.start(public_max_limit="3")
        for path in (
            "/stories?",
            "/stories?_search=false&",
            "/stories?q=title&",
            "/found_stories?",
        ):
            answer = club.ask(f"{path}_limit=5&_sort=id")
            assert answer.json["total"] == 3 and answer.json["count"] == 3, path
            assert [each["id"] for each in answer.json["data"]] == [1, 2, 3]
            assert club.ask(f"{path}_count").json["data"] == 3, path
            for beyond in ("_start=3", "_start=5&_limit=1", "_page=1&_limit=3", "_page=9"):
                assert club.ask(f"{path}{beyond}").json["data"] == [], (path, beyond)
            assert [each["id"] for each in club.ask(f"{path}_start=2&_sort=id").json["data"]] == [3]
            assert club.ask(f"{path}_limit=5", "ann").json["total"] > 3
        assert club.ask("/members,stories?_limit=9").json["total"] == 3
        assert club.ask("/members,stories?_count").json["data"] == 3
    finally:
        club.start()


def test_hidden_fields_may_be_allowed(club):
    """As nefertari has it: only what is shown is protected."""
    try:
        club.start(hidden_fields="allow")
        for path in ("/stories?rank=3", "/stories?_search=true&rank=3", "/stories?_sort=-note"):
            answer = club.ask(path)
            assert answer.status == 200
            assert "rank" not in answer.text and "note" not in answer.text
    finally:
        club.start()
