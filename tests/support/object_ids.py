"""A caller who numbers what they make, of an application whose keys are MongoDB's ObjectIds.

So the same script tells what happens on every engine: the object 7 is called
``000000000000000000000007`` there, in all that is sent and in all that comes back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tests.support.scaffolds import Talk

_KEY = re.compile(r"\b0{16}[0-9a-f]{8}\b")
_SEGMENT = re.compile(r"(?<=/)\d+(?=/|$)")


def object_id(number: Any) -> str:
    """The ObjectId that is called *number*."""
    return f"{int(number):024x}"


class ObjectIdTalk(Talk):
    """See :class:`~tests.support.scaffolds.Talk`.

    :param renamed: what a field that holds a key is called with SQL -> what it is called here.
        Foreign keys are SQL's: here the relationship is set, and asked for.
    :param counted: collections whose objects are numbered as they are made, as SQL does.
    """

    def __init__(
        self, url: str, renamed: Mapping[str, str] | None = None, counted: Iterable[str] = ()
    ) -> None:
        super().__init__(url)
        self.renamed = {"id": "id", **(renamed or {})}
        self.object_counts = dict.fromkeys(counted, 0)

    def _another(self) -> Talk:
        other = ObjectIdTalk(self.url, self.renamed)
        other.object_counts = self.object_counts
        return other

    def send(
        self, method: str, path: str, params: Any = None, json: Any = None, **more: Any
    ) -> Any:
        counts = method == "POST" and path in self.object_counts
        if counts:
            json = {"id": self.object_counts[path] + 1, **json}
        key_path = _SEGMENT.sub(lambda match: object_id(match[0]), path)
        answer = super().send(
            method, key_path, self._with_keys(params), self._with_keys(json), **more
        )
        if counts and answer.status_code == 201:
            self.object_counts[path] += 1
        return answer

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return _numbered(super().call(*args, **kwargs))

    def _with_keys(self, values: Any) -> Any:
        """*values* by name (of a query string, or a body) with keys in the place of numbers."""
        if not isinstance(values, dict):
            return values
        return {
            self.renamed.get(name, name): _keys(value) if name in self.renamed else value
            for name, value in values.items()
        }


def _keys(value: Any) -> Any:
    if isinstance(value, list):
        return [_keys(each) for each in value]
    if isinstance(value, (int, str)):
        return re.sub(r"\d+", lambda match: object_id(match[0]), str(value))
    return value


def _numbered(value: Any, name: str = "") -> Any:
    """*value*, as it came, with numbers in the place of keys."""
    if isinstance(value, dict):
        return {key: _numbered(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_numbered(each) for each in value]
    if not isinstance(value, str):
        return value
    if _KEY.fullmatch(value) and name != "_pk":
        return int(value, 16)
    return _KEY.sub(lambda match: str(int(match[0], 16)), value)
