"""Every field class, with edge values, from the primary to the response: both ways the same."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Iterator
from typing import Any

import pytest
import transaction

from nefertari_search_tween.documents.fields import FIELDS
from tests.support import apps

pytestmark = [pytest.mark.every_backend, pytest.mark.every_primary, pytest.mark.slow]

UTC = datetime.timezone.utc
HUNDRED_KB = "käse " * 20_000

TEXTS: list[Any] = [
    "",
    " ",
    "a",
    "A",
    "Ä",
    "straße",
    "日本語",
    "\U0001f600 astral",
    "a\tb\nc",
    '"quoted"',
    "\\",
    "null",
    "0",
    "_all",
    "e\u0301",
    "\ufeff",
    "\u2028",
    "a" * 200,
    "<script>",
]
LONG_TEXTS = [*TEXTS, HUNDRED_KB, "z" * 8191, "z" * 8192, "\U0001f600" * 4096]

VALUES: dict[str, list[Any]] = {
    "big": [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)],
    "flag": [True, False],
    "day": [
        datetime.date(1, 1, 1),
        datetime.date(999, 12, 31),
        datetime.date(2000, 2, 29),
        datetime.date(9999, 12, 31),
    ],
    "moment": [
        datetime.datetime(1, 1, 1),
        datetime.datetime(1969, 12, 31, 23, 59, 59, 999999),
        datetime.datetime(1970, 1, 1),
        datetime.datetime(2038, 1, 19, 3, 14, 8, 1),
        datetime.datetime(9999, 12, 31, 23, 59, 59, 999999),
    ],
    "kind": ["red", "green", "blue"],
    "ratio": [0.0, -0.0, 0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -2.5, 1e16, 123456789.0],
    "count": [0, -1, 2**31 - 1, -(2**31)],
    "span": [
        datetime.timedelta(0),
        datetime.timedelta(days=400, seconds=7),
        datetime.timedelta(microseconds=1),
        datetime.timedelta(days=-1, seconds=1),
    ],
    "blob": [b"", b"\x00\x01\xff", b'it\'s "bytes"', b"x" * 10_000],
    "price": [
        decimal.Decimal(0),
        decimal.Decimal("0.0001"),
        decimal.Decimal("-0.5"),
        decimal.Decimal("12345678.1234"),
        decimal.Decimal("99999999.9999"),
    ],
    "thing": [
        {"nested": {"list": [1, 2.5, None, "ü"]}},
        [],
        "",
        0,
        (1, 2),
        {1: "number as key"},
        datetime.datetime(2020, 1, 2, 3, 4, 5, 6),
        {"when": datetime.date(2020, 1, 2)},
        decimal.Decimal("1.5"),
        datetime.timedelta(seconds=90),
        {"big": 10**30},
        {1, 2},
    ],
    "small": [0, 32767, -32768],
    "word": TEXTS,
    "prose": LONG_TEXTS,
    "clock": [datetime.time(0, 0), datetime.time(12, 30, 15), datetime.time(23, 59, 59, 999999)],
    "name": LONG_TEXTS,
    "story": LONG_TEXTS,
    "options": [
        {},
        {"a": 1},
        {"a": {"b": {"c": [1, {"d": None}]}}, "": "", "x.y": 1, "ü": "ö"},
        {"a": 1.5, "b": True, "c": "text", "d": ["mixed", 1, None]},
    ],
    "words": [[], ["a"], ["b", "a", "a"], ["", " ", "ü", "a,b"], ["x" * 9000]],
    "owner": ["bob", ""],
}

#: fields whose class the primary tells from nothing that HTTP shows
RELATIONS = {"label", "keeper", "tags"}


@pytest.fixture(scope="module")
def zoo(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[Any]:
    yield apps.zoo(primary_url, backend_url, module_prefix)
    apps.forget_sessions()


def store(**values: Any) -> int:
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item

    item = Item(**values)
    Session().add(item)
    Session().flush()
    pk = item.id
    transaction.commit()
    return pk


def both(app: Any, path: str) -> tuple[Any, Any]:
    """The mirror's response and the primary's."""
    joint = "&" if "?" in path else "?"
    return app.get(path), app.get(f"{path}{joint}_search=false")


@pytest.mark.parametrize("name", sorted(VALUES))
def test_edge_values_of_the_field(zoo: Any, name: str) -> None:
    """Each value alone: the two responses are the same bytes, whole and by _fields."""
    for value in [None, *VALUES[name]]:
        pk = store(**{name: value})
        for query in (f"id={pk}", f"id={pk}&_fields={name}"):
            mirrored, primary = both(zoo, f"/items?{query}")
            assert mirrored.body == primary.body, (name, repr(value)[:60], query)
            if query == f"id={pk}":
                assert mirrored.headers["X-Search-Engine"] == "mirror", (name, repr(value)[:60])
                assert mirrored.json["total"] == 1


@pytest.mark.parametrize("name", sorted(set(VALUES) - {"blob", "thing", "options", "words"}))
def test_sorting_by_the_field(zoo: Any, name: str) -> None:
    """All values together, in both directions: nulls and all in the primary's order.

    Values that no index can sort send the whole collection to the primary, so they are added
    last: or the primary would be compared with itself.
    """
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item

    Session().query(Item).delete(synchronize_session=False)
    transaction.commit()
    unsortable = []
    for value in [None, *VALUES[name]]:
        pk = store(**{name: value})
        engine = zoo.get(f"/items?id={pk}&_sort={name}").headers["X-Search-Engine"]
        if engine != "mirror":
            assert engine == "primary; reason=inexact-values", repr(value)[:60]
            unsortable.append(value)
            Session().delete(Session().query(Item).get(pk))
            transaction.commit()
    assert len(unsortable) < len(VALUES[name])

    expected = "mirror"
    for more in ([], unsortable):
        for value in more:
            store(**{name: value})
            expected = "primary; reason=inexact-values"
        for sort in (f"{name},id", f"-{name},id"):
            mirrored, primary = both(zoo, f"/items?_sort={sort}&_limit=1000&_fields=id,{name}")
            assert mirrored.body == primary.body, sort
            assert mirrored.headers["X-Search-Engine"] == expected, sort


@pytest.mark.parametrize("name", sorted(VALUES))
def test_python_values_are_the_primarys(zoo: Any, name: str) -> None:
    """Attributes of a document are what the primary's object has, types and all."""
    from tests.apps.every_field.models import Item

    for value in VALUES[name]:
        pk = store(**{name: value})
        (document,) = Item.get_collection(_query_secondary=True, id=pk)
        assert type(document) is Item.secondary
        primary = Item.get_item(id=pk)
        ours, theirs = getattr(document, name), getattr(primary, name)
        assert ours == theirs and type(ours) is type(theirs), (name, repr(value)[:60])
        mine, its = document.to_dict(), primary.to_dict()
        assert list(mine) == list(its)
        if name != "thing":
            assert mine[name] == its[name] and type(mine[name]) is type(its[name])
        transaction.abort()


def test_every_field_class_is_walked(zoo: Any) -> None:
    """A field class without edge values above would go untested."""
    from tests.apps.every_field.models import Item

    walked = {
        type(field).__name__
        for name, field in Item.secondary.fields().items()
        if name in VALUES or name in RELATIONS or field.primary_key or name == "keeper_code"
    }
    # On SQL, a decimal has another class than an engine's.
    assert walked == {*FIELDS, "ExactDecimalField"} - {"DecimalField"}


def test_relationships_and_their_keys(zoo: Any) -> None:
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item, Keeper, Label, Tag

    keeper = Keeper(code="ü/k 1", name=HUNDRED_KB)
    item = Item(name="lion", keeper=keeper, label=Label(text="león"), tags=[Tag(name="cat")])
    Session().add(item)
    Session().flush()
    pk = item.id
    transaction.commit()
    for path in (f"/items?id={pk}", "/keepers", "/tags"):
        mirrored, primary = both(zoo, path)
        assert mirrored.headers["X-Search-Engine"] == "mirror"
        assert mirrored.body == primary.body


@pytest.mark.parametrize(
    "moment",
    [
        datetime.datetime(2014, 6, 30, 12, 0, 0, 5, UTC),
        datetime.datetime(2014, 6, 30, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=5.5))),
    ],
)
def test_time_zones(zoo: Any, moment: datetime.datetime) -> None:
    """A zone that the database drops, or converts, is shown as it then is."""
    pk = store(moment=moment)
    mirrored, primary = both(zoo, f"/items?id={pk}")
    assert mirrored.headers["X-Search-Engine"] == "mirror"
    assert mirrored.body == primary.body


def test_what_json_does_not_have(zoo: Any) -> None:
    """Infinity in a float column can't be indexed: the whole collection is the primary's."""
    pk = store(ratio=float("inf"))
    mirrored, primary = both(zoo, f"/items?id={pk}")
    assert mirrored.headers["X-Search-Engine"] == "primary; reason=inexact-values"
    assert mirrored.body == primary.body
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item

    Session().delete(Session().query(Item).get(pk))
    transaction.commit()
    assert zoo.get("/items").headers["X-Search-Engine"] == "mirror"


def test_the_mapping_of_every_field(zoo: Any) -> None:
    """What the index is made with: text with keyword subfields, numbers, dates, nested."""
    mirror = apps.search_of(zoo).mirrors.get("Item")
    mapping = mirror.backend.get_mapping(mirror.alias)
    properties = mapping["properties"]
    assert properties["name"]["type"] == "text"
    assert properties["name"]["fields"]["keyword"]["type"] == "keyword"
    types = {name: properties[name].get("type", "object") for name in properties}
    assert types["big"] == types["count"] == types["small"] == types["span"] == "long"
    assert types["ratio"] == types["price"] == "double"
    assert types["day"] == types["moment"] == types["clock"] == "date"
    assert types["flag"] == "boolean"
    assert types["keeper"] == types["label"] == "nested"
    assert properties["keeper"]["properties"]["name"]["type"] == "text"
    assert types["tags"] == "long"
    assert properties["options"]["enabled"] is False
    assert mapping["_meta"]["fingerprint"] == mirror.fingerprint
    assert json.loads(json.dumps(mapping["_meta"])) == mirror.mapping["_meta"]
