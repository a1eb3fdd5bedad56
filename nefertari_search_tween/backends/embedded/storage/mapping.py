"""From a mapping to levels and fields (see fields.py), and how a mapping grows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Optional

from nefertari_search_tween.backends.embedded import date_format
from nefertari_search_tween.backends.embedded.errors import rejected, unsupported
from nefertari_search_tween.backends.embedded.storage.fields import (
    KINDS,
    Field,
    Level,
    parse_flag,
)

# Options of a field that this backend applies, or that change nothing here.
_OPTIONS = {
    *("type", "fields", "ignore_above", "ignore_malformed", "format", "null_value", "properties"),
    *("dynamic", "enabled", "coerce", "doc_values", "store", "meta", "index", "norms"),
    *("index_options", "eager_global_ordinals"),
}
_DYNAMIC_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?\Z")


@dataclass
class ObjectMapping:
    """An object of the mapping.

    :param children: key -> field, object mapping or ``SKIPPED``.
    """

    level: Level
    prefix: str
    dynamic: str
    children: dict[str, Any] = field(default_factory=dict)


class _Skipped:
    """The mapping of a key with ``enabled: false``: in the source, but not indexed."""


SKIPPED = _Skipped()


class Index:
    """One index, from its row in the catalog.

    :param layout: numbers of fields and levels, and which fields hold lists.
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
        self.root = ObjectMapping(root, "", _dynamic(mapping.get("dynamic", True)))
        self._read(mapping.get("properties", {}), self.root)

    @property
    def members(self) -> list[Index]:
        """The indices that it consists of."""
        return [self]

    def name_of(self, doc: int) -> str:
        """Return the name of the index that a document is in."""
        return self.name

    def vocabulary_query(self, field: Field) -> str:
        """Return the SELECT of the sorted terms of a text, or values of a keyword."""
        if field.kind == "text":
            query = f"SELECT DISTINCT term FROM {self.post} WHERE field = {field.number}"
        else:
            query = (
                f"SELECT {field.column} FROM {field.level.table} WHERE {field.column} IS NOT NULL "
                f"UNION SELECT value FROM {self.multi} WHERE field = {field.number}"
            )
        return f"{query} ORDER BY 1"

    @property
    def window(self) -> int:
        return int(self.settings.get("index.max_result_window", 10_000))

    def _level(self, path: str, parent: Optional[Level]) -> Level:
        numbers = self.layout["levels"]
        number = numbers.setdefault(path, len(numbers))
        self.levels[path] = Level(path, number, f"i{self.number}_r{number}", parent)
        return self.levels[path]

    def _field(self, name: str, level: Level, spec: dict[str, Any]) -> Field:
        numbers = self.layout["fields"]
        number = numbers.setdefault(name, len(numbers))
        new_field = Field(name, number, level, spec["type"], spec, number in self.layout["multi"])
        self.fields[name] = new_field
        level.fields.append(new_field)
        return new_field

    def _read(self, properties: dict[str, Any], node: ObjectMapping) -> None:
        for key, spec in properties.items():
            node.children[key] = self._child(node, key, spec)

    def _child(self, node: ObjectMapping, key: str, spec: dict[str, Any]) -> Any:
        name = node.prefix + key
        kind = spec.get("type", "object")
        unknown = set(spec) - _OPTIONS
        if unknown:
            raise unsupported(f"mapping option {', '.join(sorted(unknown))} (field {name})")
        if kind in ("object", "nested"):
            if not parse_flag(spec.get("enabled", True)):
                return SKIPPED
            level = self._level(name, node.level) if kind == "nested" else node.level
            self.objects.add(name)
            child = ObjectMapping(level, name + ".", _dynamic(spec.get("dynamic", node.dynamic)))
            self._read(spec.get("properties", {}), child)
            return child
        if kind not in KINDS:
            raise unsupported(f"field type '{kind}' (field {name})")
        if kind == "date" and not date_format.is_supported(
            spec.get("format", date_format.DEFAULT_FORMAT)
        ):
            raise unsupported(f"date format '{spec['format']}' (field {name})")
        if not parse_flag(spec.get("index", True)):
            raise unsupported(f"mapping option index: false (field {name})")
        leaf = self._field(name, node.level, spec)
        for sub, subspec in spec.get("fields", {}).items():
            if subspec.get("type") not in KINDS:
                raise unsupported(f"field type '{subspec.get('type')}' (field {name}.{sub})")
            leaf.subfields.append(self._field(f"{name}.{sub}", node.level, subspec))
        return leaf

    def add_key(self, node: ObjectMapping, key: str, spec: dict[str, Any]) -> Any:
        """Add a new key to the mapping (dynamic mapping)."""
        target = self.mapping
        for part in node.prefix.split(".")[:-1]:
            target = target["properties"][part]
        target.setdefault("properties", {})[key] = spec
        node.children[key] = self._child(node, key, spec)
        return node.children[key]


def dynamic_mapping(value: Any) -> Optional[dict[str, Any]]:
    """Return the mapping that Elasticsearch adds for a new field with *value*."""
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


def merge_properties(old: dict[str, Any], new: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Return the properties *old* with those of *new* added.

    :raises BackendRejected: a field would change its type.
    """
    result = dict(old)
    for name, spec in new.items():
        current = result.get(name)
        if current is None:
            result[name] = json.loads(json.dumps(spec))
            continue
        kinds = current.get("type", "object"), spec.get("type", "object")
        if kinds[0] != kinds[1]:
            raise rejected(
                f"mapper [{path}{name}] cannot be changed from type [{kinds[0]}] to [{kinds[1]}]"
            )
        changed = {
            option: value
            for option, value in spec.items()
            if option not in ("properties", "fields") and current.get(option) != value
        }
        fixed = sorted(set(changed) - {"ignore_above", "ignore_malformed", "dynamic"})
        if fixed:
            raise rejected(f"mapper [{path}{name}]: cannot update parameter [{fixed[0]}]")
        result[name] = {**current, **changed}
        for part in ("properties", "fields"):
            if part in spec:
                result[name][part] = merge_properties(
                    current.get(part, {}), spec[part], f"{path}{name}."
                )
    return result


def _dynamic(value: Any) -> str:
    text = str(value).lower()
    if text not in ("true", "false", "strict"):
        raise unsupported(f"dynamic: {value}")
    return text
