"""What no message may contain: the secrets in an application's settings.

This package's own messages contain no value of a setting that may hold one. But a message of a
library may: SQLAlchemy repeats a URL that it can't read, with its password. So whatever a command
prints of an error is checked for the secrets themselves, wherever they come from, and not for the
forms of messages that are known to have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from nefertari_search_tween.settings.connection import Withheld
from nefertari_search_tween.settings.table import SETTINGS

HIDDEN = "***"
# A shorter one is in every other word; it can be guessed, too.
MIN_LENGTH = 3
_SECRET_KEY = re.compile(r"passw|pwd|secret|token|api_?key|credential|basic_auth", re.IGNORECASE)
_QUERY = re.compile(r"[?&;][^=&;\s]*=([^&;\s]+)")
_SCHEME = re.compile(r"\A[a-zA-Z][\w+.-]*://")
_PARTS = re.compile(r"[:/]+")
# What stands where a URL has its port, and is none.
_NO_PORT = re.compile(r":(?!//)(?!\d+(?:[,/?#\s]|\Z))([^/:?#\s]+)")


def secrets_of(settings: Mapping[str, Any]) -> set[str]:
    """Return the secrets in *settings*, and the parts that messages may have of them."""
    converters = {each.key: each.convert for each in SETTINGS if each.secret}
    texts: set[str] = set()
    for key, value in settings.items():
        text = str(value).strip()
        if key in converters:
            try:
                # What env:NAME and file:PATH refer to; of user and password, the password.
                converted = converters[key](text)
                value = converted[1] if isinstance(converted, tuple) else converted
            except Withheld:
                value = text
            texts.update(_texts_of(text), _texts_of(str(value or "")))
        elif _SECRET_KEY.search(key):
            texts.add(text)
        if "@" in text or "://" in text:
            texts.update(_of_url(text))
    return {each for each in texts if len(each) >= MIN_LENGTH}


def _texts_of(value: str) -> Iterator[str]:
    if "://" in value:
        yield from _of_url(value)
    elif value != "memory" and not value.startswith(("env:", "file:")):
        yield value


def _of_url(text: str) -> Iterator[str]:
    """Yield what may be a secret in a URL, also in one that is malformed."""
    user_info, at, _ = text.rpartition("@")
    if at:
        password = _SCHEME.sub("", user_info, count=1).partition(":")[2]
        yield from (password, unquote(password))
        # With a slash or a colon in it, it may be read as host, port and path.
        yield from _PARTS.split(password)
    else:
        yield from _NO_PORT.findall(text)
    yield from _QUERY.findall(text)


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return *text* without any of *secrets*."""
    for each in sorted(secrets, key=len, reverse=True):
        text = text.replace(each, HIDDEN)
    return text
