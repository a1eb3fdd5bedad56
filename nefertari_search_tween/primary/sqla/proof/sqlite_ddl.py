"""What SQLite tells of a table's columns only in the text of its ``CREATE TABLE``: collations.

No pragma has them. The text is SQLite's own: it parsed it before, and adds to it what ``ALTER
TABLE`` adds. So it needs to be taken apart only so far as to find each column's definition, and in
it the word ``COLLATE`` outside of parentheses, quotes and comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Optional

_TOKEN = re.compile(
    r"""\s+ | --[^\n]* | /\*.*?(?:\*/|\Z)
    | (?P<token> '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | [\w$]+ | . )""",
    re.DOTALL | re.VERBOSE,
)
_QUOTES = {"'": "'", '"': '"', "`": "`", "[": "]"}
_CONSTRAINTS = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"}


def collations(sql: str) -> Optional[dict[str, str]]:
    """Return the collations that *sql* gives to columns, both in capitals.

    :param sql: a ``CREATE TABLE`` statement.
    :returns: by name of the column; those of the others are ``BINARY``. None if it is another
        statement.
    """
    words = [match["token"] for match in _TOKEN.finditer(sql) if match["token"] is not None]
    if [word.upper() for word in words[:2]] not in (["CREATE", "TABLE"], ["CREATE", "TEMP"]):
        return None
    by_column = {}
    for definition in _definitions(words):
        if definition and definition[0].upper() not in _CONSTRAINTS:
            for word, value in zip(definition, definition[1:]):
                if word.upper() == "COLLATE":
                    by_column[_unquoted(definition[0])] = _unquoted(value)
    return by_column


def _definitions(words: list[str]) -> Iterator[list[str]]:
    """Yield the words of each definition in the table's parentheses; those in further parentheses
    are left out."""
    depth = 0
    definition: list[str] = []
    for word in words:
        if word == ")":
            depth -= 1
            if depth == 0:
                yield definition
                return
        elif word == "(":
            depth += 1
        elif depth == 1 and word == ",":
            yield definition
            definition = []
        elif depth == 1:
            definition.append(word)


def _unquoted(word: str) -> str:
    closing = _QUOTES.get(word[0])
    if closing is None:
        return word.upper()
    bare = word[1:-1]
    return (bare if closing == "]" else bare.replace(closing * 2, closing)).upper()


def affinity(declared: str) -> str:
    """Return the affinity of a column by its *declared* type: section 3.1 of SQLite's datatypes."""
    upper = declared.upper()
    for part, name in (
        ("INT", "INTEGER"),
        *((text, "TEXT") for text in ("CHAR", "CLOB", "TEXT")),
        ("BLOB", "BLOB"),
        *((real, "REAL") for real in ("REAL", "FLOA", "DOUB")),
    ):
        if part in upper:
            return name
    return "NUMERIC" if upper.strip() else "BLOB"
