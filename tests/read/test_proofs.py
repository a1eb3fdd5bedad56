"""What is not known to be equal is the primary's: types, code, and the database as it really is.

Each request is compared with the same one to the primary, status and body; and each says who has to
answer it, because a mirror that answers nothing is equal, too.
"""

from __future__ import annotations

import datetime
import decimal
import json
import os
import re
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import transaction
from sqlalchemy import create_engine

import nefertari_search_tween
from tests.apps.proven.enums import Color
from tests.servers import PostgresServer
from tests.support import apps
from tests.support.compare_answers import Comparison
from tests.support.paths import TOP
from tests.support.tiers import PRIMARY

pytestmark = [pytest.mark.every_backend, pytest.mark.every_primary]

ON_POSTGRESQL = os.environ.get(PRIMARY) == "postgresql"
TRUSTED = (
    "tests.apps.proven.models.Encoded.process_result_value "
    "tests.apps.proven.models.LocalTime.process_result_value"
)
#: a table made by hand, and at last rows that no known code stores
BY_HAND = (
    [
        "CREATE COLLATION proven_any_case "
        "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        'CREATE TABLE proven_listed (id SERIAL PRIMARY KEY, name TEXT COLLATE "und-x-icu", '
        "title TEXT COLLATE proven_any_case, number TEXT, at TIMESTAMPTZ, flag BOOLEAN, "
        "span INTERVAL, day DATE, time TIME, code INTEGER)",
        "INSERT INTO proven_listed VALUES "
        "(1, 'b', 'Lion', '7', '2020-01-01 10:00:00+02', true, '1 year', "
        "'infinity', '24:00:00', 1), "
        "(2, 'B', 'lion', '07', '2020-01-01 10:00:00+00', false, '362 days', "
        "'9999-12-31', '00:00:00', 2), "
        "(3, 'a', 'lamb', '10', NULL, NULL, '1 day', '0001-01-01', '12:00:00', NULL)",
    ]
    if ON_POSTGRESQL
    else [
        "CREATE TABLE proven_listed (id INTEGER PRIMARY KEY, "
        "name TEXT /* COLLATE BINARY, */ collate 'nocase', title \"STRING\", number TEXT, "
        "at DATETIME DEFAULT CURRENT_TIMESTAMP, flag BOOLEAN, span DATETIME, "
        "day DATE, time TIME, code INTEGER)",
        "INSERT INTO proven_listed VALUES "
        "(1, 'b', '007', '7', '2020-01-01 10:00:00', 2, '1970-01-02 00:00:00.000000', "
        "'9999-12-31', '00:00:00.000000', 1), "
        "(2, 'B', 'seven', '07', '2020-01-01 10:00:00.000000', 1, '1970-01-03 00:00:00.000000', "
        "'9999-12-30', '00:00:01.000000', 2), "
        "(3, 'a', NULL, '10', NULL, 0, NULL, "
        "'0001-01-01', '12:00:00.000000', NULL)",
    ]
)


@pytest.fixture(scope="module")
def comparison(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[Comparison]:
    engine = create_engine(primary_url)
    for statement in BY_HAND[:-1]:
        engine.execute(statement)
    app = apps.proven(
        primary_url, backend_url, module_prefix, **{"nefertari_search.trusted_hooks": TRUSTED}
    )
    fill()
    from tests.apps.proven.models import Listed

    engine.execute(BY_HAND[-1])
    engine.dispose()
    with transaction.manager:
        nefertari_search_tween.changed(Listed, [1, 2, 3])
    yield Comparison(app)
    apps.forget_sessions()


def fill() -> None:
    from pyramid_sqlalchemy import Session

    from tests.apps.proven import models

    moment = datetime.datetime(2020, 1, 1, 10, 0)
    names = ["Bob", "alice", "Zoe", None]
    with transaction.manager:
        session = Session()
        for at, name in enumerate(names):
            lower = name and f"{name}@X.com"
            session.add_all(
                [
                    models.Account(
                        name=name,
                        email=lower,
                        mail=lower,
                        count=at,
                        label=name and f" {name} ",
                        varied=name,
                        own=name,
                        trimmed=name and f" {name} ",
                    ),
                    models.Arrival(name=name, code=name, visited=moment.replace(hour=9 + at)),
                    models.Guest(visits=[models.Stay(visited=moment.replace(hour=9 + at))]),
                    models.Ordered(name=name, rank=at % 2),
                    models.OddlyOrdered(name=name and name * (3 - at)),
                    models.Overridden(name=name, day=datetime.date(2020, 1, 1 + at)),
                    models.Composed(name=name, tag=name),
                ]
            )
        session.add_all(
            models.Sample(id=at, **{name: values[at] for name, values in SAMPLES.items()})
            for at in range(4)
        )


ZONE = datetime.timezone(datetime.timedelta(hours=2))
#: by column: a value for each of four rows
SAMPLES: dict[str, list[Any]] = {
    "small": [7, -(2**15), 2**15 - 1, None],
    "count": [7, -(2**31), 2**31 - 1, None],
    "big": [7, 2**62, -(2**62), None],
    "wide": [
        decimal.Decimal("12345678901234600000"),
        decimal.Decimal("12345678901234600001"),
        decimal.Decimal("12345678901234599999"),
        decimal.Decimal("0.12345678901234567"),
    ],
    "rounded": [0.1, 0.25, 1e15, None],
    "price": [decimal.Decimal(each) for each in ("0.10", "9999999999.99", "-1.5", "1.1")],
    "plain": [decimal.Decimal(each) for each in ("1.00", "1.01", "1.1", "99999999.99")],
    "single": [0.1, 16777217.0, 1.5, None],
    "ratio": [0.1, 0.30000000000000004, -1.5, None],
    "odd": [0.1, 1.5, 0.123456789012345, None],
    "padded": ["ab", "abcde", "a\t", None],
    "tint": ["red", "green", "blue", None],
    "color": [Color.red, Color.green, Color.red, None],
    "clock": [
        datetime.time(10, 0, tzinfo=ZONE),
        datetime.time(9, 30, tzinfo=datetime.timezone.utc),
        datetime.time(10, 0),
        None,
    ],
    "moment": [
        datetime.datetime(2020, 1, 1, 10, 0, tzinfo=ZONE),
        datetime.datetime(2020, 1, 1, 9, 0, tzinfo=datetime.timezone.utc),
        datetime.datetime(1066, 10, 14, 9, 0, tzinfo=datetime.timezone.utc),
        None,
    ],
    "at": [datetime.datetime(2020, 1, 1, 10, 0, 0, at) for at in (0, 1, 999999)] + [None],
    "day": [datetime.date(2020, 1, 1), datetime.date(1, 1, 1), datetime.date(9999, 12, 31), None],
    "time": [datetime.time(10, 0), datetime.time(9, 59, 59, 999999), datetime.time(0, 0), None],
    "span": [datetime.timedelta(days=each) for each in (1, 400, 2)] + [None],
    "flag": [True, False, True, None],
    "kind": ["soft", "hard", "soft", None],
    "short": ["a", "abcd", "B", None],
    "thing": [{"a": 1}, [1], None, None],
    "blob": [b"a", b"\xff", None, None],
    "options": [{"a": 1}, {}, None, None],
    "words": [["a"], [], ["b", "a"], None],
    "object": [True, "text", {"a": 1}, None],
    "data": [{"": True, "é": "x"}, [1, {"a": None}], "text", None],
    "lasts": [datetime.timedelta(days=each) for each in (1, 400, 2)] + [None],
}

UNPROVEN = "unproven-field"
PARAMETER = "unsupported-parameter"
SORT = "unsupported-sort"
INEXACT = "inexact-values"
MIRROR = "mirror"

#: a request, who answers it on SQLite, and who on PostgreSQL if it is not the same
CASES: list[tuple[str, ...]] = [
    # A decorator that changes what it binds: read and sorted as any text, filtered by itself.
    ("/accounts?_fields=id,name,email,mail&_sort=id", MIRROR),
    ("/accounts?name=Bob&_fields=name,email", MIRROR),
    ("/accounts?email=Bob@X.com&_fields=email", UNPROVEN),
    ("/accounts?mail=BOB@x.com&_fields=mail", UNPROVEN),
    ("/accounts?_sort=email,id&_fields=email", MIRROR),
    ("/accounts?_sort=mail,id&_fields=mail", UNPROVEN),
    ("/accounts?name=Bob&email=Bob@X.com&_count", UNPROVEN),
    # A type by itself, a comparator, a variant, a column class: nothing of them is known.
    ("/accounts?_sort=id", UNPROVEN),
    ("/accounts?count=3", UNPROVEN),
    ("/accounts?_sort=count", UNPROVEN),
    ("/accounts?label=Bob", UNPROVEN),
    ("/accounts?varied=BOB", UNPROVEN),
    ("/accounts?own=Bob&_fields=own", MIRROR),
    ("/accounts?trimmed=Bob", UNPROVEN),
    ("/accounts?_sort=trimmed,id", UNPROVEN),
    ("/accounts?_fields=name,varied&_sort=id", UNPROVEN),
    # One that returns something else: only reads that do not show it are the mirror's.
    ("/arrivals?_sort=id", UNPROVEN),
    ("/arrivals?_fields=id,name&_sort=id", MIRROR),
    ("/arrivals?_fields=-code,-visited&_sort=id", MIRROR),
    ("/arrivals?_fields=name,code&_sort=id", UNPROVEN),
    ("/arrivals?code=Bob&_fields=name", UNPROVEN),
    ("/arrivals?_sort=code&_fields=name", UNPROVEN),
    ("/arrivals?_sort=visited&_fields=name", UNPROVEN),
    ("/arrivals?name=Bob&_count", MIRROR),
    # Also within other documents.
    ("/guests?_sort=id", UNPROVEN),
    ("/guests?_fields=id&_sort=-id", MIRROR),
    ("/stays?_fields=id,guest_id&_sort=id", MIRROR),
    # Whole numbers: beyond the column's range PostgreSQL has an error.
    ("/samples?small=7&_fields=id", MIRROR),
    ("/samples?small=99999&_fields=id", MIRROR, PARAMETER),
    ("/samples?small=-32768&_fields=id", MIRROR),
    ("/samples?small=-32769&_fields=id", MIRROR, PARAMETER),
    ("/samples?count=2147483647&_fields=id", MIRROR),
    ("/samples?count=2147483648&_fields=id", MIRROR, PARAMETER),
    ("/samples?big=4611686018427387904&_fields=id", MIRROR),
    ("/samples?big=9223372036854775808&_fields=id", PARAMETER),
    ("/samples?_sort=-small,id&_fields=small", MIRROR),
    # Decimals: SQLite has binary numbers; PostgreSQL has all digits.
    ("/samples?wide=12345678901234600000&_fields=id", MIRROR),
    ("/samples?wide=12345678901234600001&_fields=id", PARAMETER, MIRROR),
    ("/samples?wide=-12345678901234600001.50&_fields=id", PARAMETER, MIRROR),
    ("/samples?_sort=wide,id&_fields=wide", MIRROR),
    ("/samples?_sort=-wide,id&_fields=wide", MIRROR),
    ("/samples?rounded=0.1&_fields=id,rounded", MIRROR),
    ("/samples?_sort=rounded,id&_fields=rounded", MIRROR),
    ("/samples?price=0.1&_fields=id,price", MIRROR),
    ("/samples?price=0.10&_fields=id,price", MIRROR),
    ("/samples?price=9999999999.99&_fields=id,price", MIRROR),
    ("/samples?_sort=-price&_fields=price,plain", MIRROR),
    ("/samples?plain=1.01&_fields=id,plain", MIRROR),
    ("/samples?single=0.1&_fields=id,single", MIRROR),
    ("/samples?single=0.10000000149&_fields=id,single", MIRROR),
    ("/samples?single=16777217&_fields=id,single", MIRROR),
    ("/samples?single=16777216&_fields=id,single", MIRROR),
    ("/samples?single=99999999999999999999999999999999999999999&_fields=id", PARAMETER),
    ("/samples?_sort=single,id&_fields=single", MIRROR),
    ("/samples?ratio=0.1&_fields=id,ratio", MIRROR),
    ("/samples?ratio=0.30000000000000004&_fields=id,ratio", PARAMETER),
    ("/samples?odd=0.1&_fields=id", UNPROVEN),
    ("/samples?_sort=odd&_fields=odd", UNPROVEN),
    # Padded texts, enumerations.
    ("/samples?padded=ab&_fields=id,padded", MIRROR),
    ("/samples?padded=ab%20%20&_fields=id,padded", MIRROR),
    ("/samples?padded=abcdefg&_fields=id", MIRROR),
    ("/samples?_sort=padded,id&_fields=padded", MIRROR, SORT),
    ("/samples?tint=red&_fields=id,tint", MIRROR),
    ("/samples?tint=pink&_fields=id,tint", PARAMETER),
    ("/samples?_sort=tint,id&_fields=tint", MIRROR, SORT),
    ("/samples?color=red&_fields=id,color", MIRROR),
    ("/samples?color=r&_fields=id,color", PARAMETER),
    ("/samples?color=Color.red&_fields=id,color", PARAMETER),
    ("/samples?_sort=color,id&_fields=color", MIRROR, SORT),
    ("/samples?kind=soft&_fields=id,kind", MIRROR),
    ("/samples?kind=loud&_fields=id,kind", PARAMETER),
    ("/samples?short=abcde&_fields=id", PARAMETER),
    ("/samples?_sort=short,id&_fields=short", MIRROR),
    # Times with and without zones.
    ("/samples?_sort=id&_fields=id,clock,moment,at,day,time,span", MIRROR),
    ("/samples?_sort=clock,id&_fields=clock", MIRROR, SORT),
    ("/samples?_sort=id&_fields=id,data", MIRROR),
    ("/samples?_sort=moment,id&_fields=moment", MIRROR),
    ("/samples?_sort=-at,id&_fields=at", MIRROR),
    ("/samples?_sort=time,day&_fields=time", MIRROR),
    ("/samples?_sort=span,id&_fields=span", MIRROR),
    ("/samples?_sort=-lasts,id&_fields=lasts,object", MIRROR),
    ("/samples?moment=2020-01-01T09:00:00Z&_fields=id", PARAMETER),
    ("/samples?at=2020-01-01T10:00:00&_fields=id", PARAMETER, MIRROR),
    ("/samples?at=2020-01-01T10:00:00%2B02:00&_fields=id", PARAMETER),
    ("/samples?at=now&_fields=id", PARAMETER),
    ("/samples?day=2020-01-01&_fields=id", PARAMETER, MIRROR),
    ("/samples?day=2020-02-30&_fields=id", PARAMETER),
    ("/samples?_sort=flag,id&_fields=flag", MIRROR),
    ("/samples?flag=true&_fields=id", PARAMETER),
    # What the index only stores.
    ("/samples?_sort=id&_fields=id,thing,blob,options,words", MIRROR),
    ("/samples?_sort=thing&_fields=id", SORT),
    ("/samples?words=a&_fields=id", PARAMETER),
    # The whole documents show a member of an enumeration by its text.
    ("/samples?_sort=-id", MIRROR),
    # A table made by hand.
    ("/listed?_sort=id", MIRROR),
    ("/listed?name=b&_sort=id", "collation", MIRROR),
    ("/listed?_sort=name,id", SORT),
    ("/listed?title=lion&_sort=id", UNPROVEN, "collation"),
    ("/listed?title=007&_sort=id", UNPROVEN, "collation"),
    ("/listed?_sort=title,id", UNPROVEN, SORT),
    ("/listed?number=7&_sort=id", UNPROVEN),
    ("/listed?_sort=number,id", UNPROVEN),
    ("/listed?_sort=at,id", INEXACT, UNPROVEN),
    ("/listed?_sort=flag,id", INEXACT, MIRROR),
    ("/listed?_sort=span,id", MIRROR, INEXACT),
    # Infinity is no date of Python, and 24:00:00 no time.
    ("/listed?_sort=day,id", MIRROR, INEXACT),
    ("/listed?_sort=-time,id", MIRROR, INEXACT),
    ("/listed?day=9999-12-31&_sort=id", PARAMETER, INEXACT),
    # A key alone, as a plain column; a column that no attribute is named for.
    ("/listed?_fields=id&_sort=id", MIRROR),
    ("/listed?_fields=code&_sort=id", PARAMETER),
    # The model's own order.
    ("/ordered", MIRROR),
    ("/ordered?_limit=2&_start=1", MIRROR),
    ("/ordered?_sort=name", MIRROR),
    ("/ordered?_fields=name", MIRROR),
    ("/ordered?_count", MIRROR),
    ("/oddly", SORT),
    # nefertari counts in it first, whatever the request says.
    ("/oddly?_sort=id", SORT),
    ("/oddly?_count", SORT),
    ("/unsortables?_sort=id", SORT),
    ("/unsortables?_fields=id,name&_sort=id", SORT),
    # The model's own code.
    ("/overriddens?_sort=name", UNPROVEN),
    ("/overriddens?_count", MIRROR),
    ("/composeds?name=Bob&_fields=id,name", MIRROR),
    ("/composeds?tag=BOB&_fields=id", UNPROVEN),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_who_answers(comparison: Comparison, case: tuple[str, ...]) -> None:
    expected = case[-1] if ON_POSTGRESQL else case[1]
    path, _, query = case[0].partition("?")
    params = parse_qsl(query, keep_blank_values=True)
    # Selected columns are no objects: the order is none of theirs.
    comparison.default_sorts["/ordered"] = "" if "_fields" in query else "-rank,name"
    before = dict(comparison.reasons)
    comparison.check(path, params, "id")
    (engine,) = [
        name for name, count in comparison.reasons.items() if count != before.get(name, 0)
    ] or [MIRROR]
    assert engine.rpartition("reason=")[2] == expected


@pytest.mark.parametrize("name", ["thing", "object", "blob", "options", "words"])
def test_no_value_of_what_the_index_only_stores(comparison: Comparison, name: str) -> None:
    """The index can't tell which of them are missing, the database can."""
    from tests.apps.proven.models import Sample

    try:
        expected = sorted(each.id for each in Sample.get_collection(**{name: None}))
    except Exception as error:  # noqa: BLE001 - nefertari compares no dictionaries
        with pytest.raises(type(error)):
            Sample.get_collection(**{name: None}, _query_secondary=True)
        return
    mirrored = Sample.get_collection(**{name: None}, _query_secondary=True)
    assert sorted(each.id for each in mirrored) == expected


@pytest.mark.parametrize("name", ["small", "price", "tint", "flag", "at", "kind"])
def test_no_value_of_what_the_index_compares(comparison: Comparison, name: str) -> None:
    from tests.apps.proven.models import Sample

    mirrored = Sample.get_collection(**{name: None}, _query_secondary=True)
    assert all(type(each) is Sample.secondary for each in mirrored)
    primary = Sample.get_collection(**{name: None})
    assert sorted(each.id for each in mirrored) == sorted(each.id for each in primary)


@pytest.mark.parametrize("name", ["label", "trimmed", "email"])
def test_no_value_by_a_comparator_of_the_applications(comparison: Comparison, name: str) -> None:
    from tests.apps.proven.models import Account

    mirrored = Account.get_collection(**{name: None}, _query_secondary=True)
    primary = Account.get_collection(**{name: None})
    assert sorted(each.id for each in mirrored) == sorted(each.id for each in primary)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("small", 99999),
        ("count", 2**40),
        ("price", decimal.Decimal("0.1")),
        ("price", 0.1),
        ("wide", decimal.Decimal("12345678901234600001")),
        ("wide", decimal.Decimal("12345678901234600000")),
        ("single", 0.1),
        ("single", 1.5),
        ("ratio", 0.1),
        ("ratio", 0.30000000000000004),
        ("flag", True),
        ("at", datetime.datetime(2020, 1, 1, 10)),
        ("day", datetime.date(2020, 1, 1)),
        ("time", datetime.time(10)),
        ("clock", datetime.time(10)),
        ("span", datetime.timedelta(days=1)),
        ("span", 86400),
        ("lasts", datetime.timedelta(days=1)),
        ("tint", "red"),
        ("color", Color.red),
        ("color", "green"),
        ("padded", "ab"),
    ],
)
def test_values_of_pythons(comparison: Comparison, name: str, value: Any) -> None:
    """As views add them: whoever answers, it is what the database finds."""
    from tests.apps.proven.models import Sample

    expected = sorted(each.id for each in Sample.get_collection(**{name: value}))
    mirrored = Sample.get_collection(**{name: value}, _query_secondary=True)
    assert sorted(each.id for each in mirrored) == expected


def test_a_member_of_an_enumeration_is_one_in_the_mirror(comparison: Comparison) -> None:
    from tests.apps.proven.models import Sample

    mirrored = Sample.get_collection(_sort="id", _query_secondary=True)
    assert [each.color for each in mirrored] == SAMPLES["color"]


def test_explain_says_it_in_words(
    comparison: Comparison, primary_url: str, backend_url: str, module_prefix: str, tmp_path: Path
) -> None:
    """As docs/operations.rst has it."""
    explain = partial(
        apps.command_of_proven, "explain", primary_url, backend_url, module_prefix, tmp_path
    )
    done = explain()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    page = (TOP / "docs" / "operations.rst").read_text(encoding="utf-8")
    examples = re.findall(r"^   ((?:Account|Sample|Listed)\..*)$", page, re.MULTILINE)
    assert len(examples) == 3
    # Two of them are the same on both databases, one is each one's own.
    other = "Listed.number" if ON_POSTGRESQL else "Sample.tint"
    assert [each for each in examples if each not in lines and other not in each] == []
    done = explain("--json", "--models", "Arrival")
    visit = json.loads(done.stdout)["Arrival"]
    assert visit["name"] == {
        "shown": True,
        "filtered": True,
        "parameters": "texts",
        "null": True,
        "sorted": True,
    }
    assert visit["code"]["shown"] == "its type Encoded is not known"


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no other order than its columns'")
@pytest.mark.parametrize(
    ("options", "engine"),
    [
        ("LOCALE_PROVIDER icu ICU_LOCALE 'en'", "primary; reason=unsupported-sort"),
        ("LOCALE_PROVIDER libc", "mirror"),
    ],
)
def test_the_order_of_a_database_is_its_providers(
    postgres_server: PostgresServer,
    backend_url: str,
    index_prefix: str,
    options: str,
    engine: str,
) -> None:
    """``datcollate`` is C.UTF-8 in both."""
    from pyramid_sqlalchemy import Session

    name = f"test_{uuid.uuid4().hex[:12]}"
    maker = create_engine(postgres_server.url, isolation_level="AUTOCOMMIT")
    maker.execute(f"CREATE DATABASE {name} LOCALE 'C.UTF-8' {options} TEMPLATE template0")
    app = apps.proven(postgres_server.database_url(name), backend_url, index_prefix)
    from tests.apps.proven.models import Account

    with transaction.manager:
        Session().add_all(Account(name=each) for each in ("b", "B", "a", "A"))
    path = "/accounts?_fields=name&_sort=name"
    mirrored, primary = app.get(path), app.get(f"{path}&_search=false")
    assert mirrored.body == primary.body
    assert mirrored.headers["X-Search-Engine"] == engine
    assert app.get("/accounts?name=b&_fields=name").headers["X-Search-Engine"] == "mirror"
    apps.forget_sessions()
