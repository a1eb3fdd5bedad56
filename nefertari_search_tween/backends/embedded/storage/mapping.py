"""A mapping -> levels and fields: what of a document is indexed, and in which table column.

A *level* is the document itself (path ``""``) or one path of nested documents; each has a
table with a row per document. A *field* is a leaf of the mapping; its column holds its one
value, or the least of several, which are then in the table ``multi`` besides. A text's column
holds its number of terms.
"""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.embedded import date_format
from nefertari_search_tween.backends.embedded.errors import refused, unsupported

INT64_MAX = 2**63 - 1
_INTEGERS = {"byte": 2**7, "short": 2**15, "integer": 2**31, "long": 2**63}
_FLOATS = ("double", "float", "half_float")
KINDS = {
    "text": "text",
    "keyword": "keyword",
    "boolean": "boolean",
    "date": "date",
    **dict.fromkeys(_INTEGERS, "integer"),
    **dict.fromkeys(_FLOATS, "float"),
}
# What a mapping may say of a field without changing what this backend has to do.
_OPTIONS = frozenset(
    [
        "type",
        "fields",
        "ignore_above",
        "ignore_malformed",
        "format",
        "null_value",
        "properties",
        "dynamic",
        "enabled",
        "coerce",
        "doc_values",
        "store",
        "meta",
        "index",
        "norms",
        "index_options",
        "eager_global_ordinals",
    ]
)
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*\Z", re.ASCII)
_DYNAMIC_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?\Z")


class Malformed(Exception):
    """A value that does not fit its field."""


@dataclass
class Field:
    """A leaf of the mapping.

    :param number: names its column, and its rows in the tables of terms and of lists.
    :param multi: some document holds several values.
    """

    name: str
    number: int
    level: Level
    type: str
    spec: dict[str, Any]
    multi: bool = False
    subfields: list[Field] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kind = KINDS[self.type]
        self.column = f"c{self.number}"
        self.format: str = self.spec.get("format", date_format.DEFAULT_FORMAT)
        self.ignore_above = int(self.spec.get("ignore_above", INT64_MAX))
        self.ignore_malformed = _flag(self.spec.get("ignore_malformed", False))
        self.null_value = self.spec.get("null_value")

    def value(self, raw: Any) -> Any:
        """*raw* (not None) as it is indexed; None when there is nothing to index.

        :raises Malformed: it does not fit.
        """
        return _VALUES[self.kind](self, raw)


@dataclass
class Level:
    """The documents themselves, or nested ones.

    :param parent: the level that holds these, None for the documents themselves.
    """

    path: str
    number: int
    table: str
    parent: Optional[Level]
    fields: list[Field] = field(default_factory=list)


@dataclass
class Node:
    """An object of the mapping: what each of its keys is."""

    level: Level
    prefix: str
    dynamic: str
    children: dict[str, Any] = field(default_factory=dict)


class _Skipped:
    """``enabled: false``: kept in the source, not indexed."""


SKIPPED = _Skipped()


class Index:
    """One index as its row in the catalog describes it.

    :param layout: numbers given to fields and levels, and which fields hold lists.
    """

    def __init__(
        self,
        number: int,
        name: str,
        mapping: dict[str, Any],
        settings: dict[str, Any],
        layout: dict[str, Any],
    ) -> None:
        self.number = number
        self.name = name
        self.mapping = mapping
        self.settings = settings
        self.layout = layout
        self.levels: dict[str, Level] = {}
        self.fields: dict[str, Field] = {}
        self.objects: set[str] = set()
        self.docs = f"i{number}_docs"
        self.post = f"i{number}_post"
        self.multi = f"i{number}_multi"
        self.stats = f"i{number}_stats"
        root = self._level("", None)
        self.root = Node(root, "", _dynamic(mapping.get("dynamic", True)))
        self._read(mapping.get("properties", {}), self.root)

    @property
    def members(self) -> list[Index]:
        """The indices that it is made of."""
        return [self]

    def name_of(self, doc: int) -> str:
        """Name of the index that a document is in."""
        return self.name

    @property
    def window(self) -> int:
        return int(self.settings.get("index.max_result_window", 10_000))

    def _level(self, path: str, parent: Optional[Level]) -> Level:
        numbers = self.layout["levels"]
        number = numbers.setdefault(path, len(numbers))
        level = self.levels[path] = Level(path, number, f"i{self.number}_r{number}", parent)
        return level

    def _field(self, name: str, level: Level, spec: dict[str, Any]) -> Field:
        numbers = self.layout["fields"]
        number = numbers.setdefault(name, len(numbers))
        made = Field(name, number, level, spec["type"], spec, number in self.layout["multi"])
        self.fields[name] = made
        level.fields.append(made)
        return made

    def _read(self, properties: dict[str, Any], node: Node) -> None:
        for key, spec in properties.items():
            node.children[key] = self._child(node, key, spec)

    def _child(self, node: Node, key: str, spec: dict[str, Any]) -> Any:
        name = node.prefix + key
        kind = spec.get("type", "object")
        unknown = set(spec) - _OPTIONS
        if unknown:
            raise unsupported(f"mapping option {', '.join(sorted(unknown))} (field {name})")
        if kind in ("object", "nested"):
            if not _flag(spec.get("enabled", True)):
                return SKIPPED
            level = self._level(name, node.level) if kind == "nested" else node.level
            self.objects.add(name)
            child = Node(level, name + ".", _dynamic(spec.get("dynamic", node.dynamic)))
            self._read(spec.get("properties", {}), child)
            return child
        if kind not in KINDS:
            raise unsupported(f"field type '{kind}' (field {name})")
        if kind == "date" and not date_format.known(spec.get("format", date_format.DEFAULT_FORMAT)):
            raise unsupported(f"date format '{spec['format']}' (field {name})")
        if not _flag(spec.get("index", True)):
            raise unsupported(f"mapping option index: false (field {name})")
        made = self._field(name, node.level, spec)
        for sub, subspec in spec.get("fields", {}).items():
            if subspec.get("type") not in KINDS:
                raise unsupported(f"field type '{subspec.get('type')}' (field {name}.{sub})")
            made.subfields.append(self._field(f"{name}.{sub}", node.level, subspec))
        return made

    def add(self, node: Node, key: str, spec: dict[str, Any]) -> Any:
        """Put a new key into the mapping (dynamic mapping)."""
        target = self.mapping
        for part in node.prefix.split(".")[:-1]:
            target = target["properties"][part]
        target.setdefault("properties", {})[key] = spec
        node.children[key] = self._child(node, key, spec)
        return node.children[key]


def dynamic_mapping(value: Any) -> Optional[dict[str, Any]]:
    """The mapping that Elasticsearch makes for a field that it first meets with *value*."""
    if isinstance(value, list):
        value = next((each for each in value if each is not None), None)
        if isinstance(value, list):
            return dynamic_mapping(value)
    if value is None:
        return None
    if isinstance(value, dict):
        return {"properties": {}}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int):
        return {"type": "long"}
    if isinstance(value, float):
        return {"type": "float"}
    if _DYNAMIC_DATE.match(value) and date_format.parse(value, date_format.DEFAULT_FORMAT):
        return {"type": "date"}
    return {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}


def merged(old: dict[str, Any], new: dict[str, Any], path: str = "") -> dict[str, Any]:
    """The properties *old* with those of *new* added.

    :raises BackendRejected: a field would change its type.
    """
    result = dict(old)
    for name, spec in new.items():
        have = result.get(name)
        if have is None:
            result[name] = json.loads(json.dumps(spec))
            continue
        kinds = have.get("type", "object"), spec.get("type", "object")
        if kinds[0] != kinds[1]:
            raise refused(
                f"mapper [{path}{name}] cannot be changed from type [{kinds[0]}] to [{kinds[1]}]"
            )
        changed = {
            option: value
            for option, value in spec.items()
            if option not in ("properties", "fields") and have.get(option) != value
        }
        fixed = sorted(set(changed) - {"ignore_above", "ignore_malformed", "dynamic"})
        if fixed:
            raise refused(f"mapper [{path}{name}]: cannot update parameter [{fixed[0]}]")
        result[name] = {**have, **changed}
        for part in ("properties", "fields"):
            if part in spec:
                result[name][part] = merged(have.get(part, {}), spec[part], f"{path}{name}.")
    return result


def _dynamic(value: Any) -> str:
    text = str(value).lower()
    if text not in ("true", "false", "strict"):
        raise unsupported(f"dynamic: {value}")
    return text


def _flag(value: Any) -> bool:
    return str(value).lower() == "true"


# Values


def text_of(raw: Any) -> str:
    """A JSON scalar as the text that Elasticsearch makes of it."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, (int, float)):
        return repr(raw)
    raise Malformed("an object where a text was expected")


def number_of(raw: Any) -> Any:
    """A JSON number, or a text that holds one; an integer stays one."""
    if isinstance(raw, bool):
        raise Malformed("a boolean where a number was expected")
    if isinstance(raw, (int, float)):
        return raw
    if isinstance(raw, str) and _NUMBER.match(raw):
        text = raw.strip()
        try:
            return int(text)
        except ValueError:
            return float(text)
    raise Malformed(f"For input string: {json.dumps(raw, default=str)[:80]}")


def _text(field: Field, raw: Any) -> Optional[str]:
    return text_of(raw)


def _keyword(field: Field, raw: Any) -> Optional[str]:
    text = text_of(raw)
    if len(text) * 2 > field.ignore_above and units(text) > field.ignore_above:
        return None
    if len(text) > 8191 and len(text.encode("utf-8", "replace")) > 32766:
        raise Malformed("a keyword longer than 32766 bytes")
    return text


def units(text: str) -> int:
    """Length in UTF-16 units: what Java and ``ignore_above`` count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _integer(field: Field, raw: Any) -> Optional[int]:
    if raw == "":
        return None
    number = number_of(raw)
    if isinstance(number, float):
        if not math.isfinite(number):
            raise Malformed("not a finite number")
        number = math.trunc(number)
    limit = _INTEGERS[field.type]
    if not -limit <= number < limit:
        raise Malformed(f"{number} is out of range for a {field.type}")
    return int(number)


def _float(field: Field, raw: Any) -> Optional[float]:
    if raw == "":
        return None
    try:
        number = float(number_of(raw))
        if field.type == "float":
            (number,) = struct.unpack("f", struct.pack("f", number))
        elif field.type == "half_float":
            (number,) = struct.unpack("e", struct.pack("e", number))
    except (OverflowError, struct.error) as problem:
        raise Malformed("not a finite number") from problem
    if not math.isfinite(number):
        raise Malformed("not a finite number")
    return stored_float(number)


# Lucene tells -0.0 from 0.0, SQL does not: the number next below 0.0 stands for it.
_BELOW_ZERO = -5e-324


def stored_float(number: float) -> float:
    """*number* as a column holds it."""
    return _BELOW_ZERO if number == 0 and math.copysign(1, number) < 0 else number


def shown_float(number: float) -> float:
    """The inverse of :func:`stored_float`."""
    return -0.0 if number == _BELOW_ZERO else float(number)


def _boolean(field: Field, raw: Any) -> int:
    if raw is True or raw == "true":
        return 1
    if raw is False or raw in ("false", ""):
        return 0
    raise Malformed("only [true] or [false] are allowed")


def _date(field: Field, raw: Any) -> int:
    span = date_format.parse(raw, field.format)
    if span is None:
        raise Malformed(
            f"failed to parse date field [{str(raw)[:80]}] with format [{field.format}]"
        )
    if not -(2**63) <= span[0] < 2**63:
        raise Malformed("date out of range")
    return span[0]


_VALUES: dict[str, Callable[[Field, Any], Any]] = {
    "text": _text,
    "keyword": _keyword,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "date": _date,
}
