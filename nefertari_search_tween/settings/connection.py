"""Converters of the settings that say how a server is reached: addresses, secrets, files."""

from __future__ import annotations

import dataclasses
import os
import ssl
from typing import Any, Optional
from urllib.parse import urlsplit

from pyramid.settings import aslist

from nefertari_search_tween.backends.connection import Connection
from nefertari_search_tween.exceptions import ConfigurationError

_REDIS = ("redis", "rediss", "unix")


class Withheld(ValueError):
    """A bad value that no message may show."""


def hosts(text: str) -> tuple[str, ...]:
    """``a:9200, https://b:9200/path`` -> URLs.

    :raises ValueError: an address without a port, with credentials in it, or of another scheme.
    """
    found = []
    for part in aslist(text):
        for each in filter(None, part.split(",")):
            found.append(_host(each))
    if len({url.partition(":")[0] for url in found}) > 1:
        raise ValueError("all must be http or all must be https")
    return tuple(found)


def _host(each: str) -> str:
    url = each if "://" in each else f"http://{each}"
    if "@" in url:
        # Addresses are written to logs and messages.
        raise Withheld("no credentials in an address, they belong in elasticsearch.basic_auth")
    wrong = f"'{each}' must be host:port or a URL with a port"
    try:
        parts = urlsplit(url)
        complete = bool(parts.hostname and parts.port)
    except ValueError:
        raise ValueError(wrong) from None
    if not complete or parts.query or parts.fragment:
        raise ValueError(wrong)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"'{each}' must begin with http:// or https://")
    return url.rstrip("/")


def secret(text: str) -> Optional[str]:
    """A secret, or where it is: ``env:NAME`` a variable of the environment, ``file:PATH``.

    :raises Withheld: it is not there.
    """
    kind, _, place = text.partition(":")
    if kind == "env":
        found = os.environ.get(place)
        if not found:
            raise Withheld(f"the environment has no variable '{place}'")
        return found
    if kind == "file":
        try:
            with open(place, encoding="utf-8") as handle:
                found = handle.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise Withheld(f"can't read the file '{place}': {reason}") from error
        if not found:
            raise Withheld(f"the file '{place}' is empty")
        return found
    return text or None


def api_key(text: str) -> Optional[str]:
    """An API key as the server gave it out, in its encoded form."""
    found = secret(text)
    if found is not None and not (found.isascii() and found.isprintable() and " " not in found):
        raise Withheld("must be one word, the 'encoded' form that the server gave out")
    return found


def basic_auth(text: str) -> Optional[tuple[str, str]]:
    """``user:password``, or where to find it (see :func:`secret`)."""
    found = secret(text)
    if found is None:
        return None
    user, colon, password = found.partition(":")
    if not user or not colon or not password:
        raise Withheld("must be user:password")
    return user, password


def cache_place(text: str) -> str:
    """``memory``, the URL of a Redis (or where to find it, see :func:`secret`), or nothing.

    :raises Withheld: something else.
    """
    found = secret(text) or ""
    if found in ("", "memory"):
        return found
    try:
        parts = urlsplit(found)
        # A port that is none raises when it is looked at.
        server = parts.path if parts.scheme == "unix" else parts.hostname
        known = parts.scheme in _REDIS and bool(server) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise Withheld("must be empty, memory, or a URL: redis://host:port/database")
    return found


def certificates(text: str) -> Optional[str]:
    """The path of a file of certificates in PEM form, the empty text for the system's."""
    if not text:
        return None
    try:
        ssl.create_default_context(cafile=text)
    except ssl.SSLError as error:
        raise ValueError("the file holds no certificate in PEM form") from error
    except OSError as error:
        raise ValueError(f"can't read the certificates: {error.strerror}") from error
    return text


def connection(settings: Any) -> Connection:
    """How the server of the application is reached.

    :param settings: the converted settings; the names of their attributes are those here.
    :raises ConfigurationError: some of them rule each other out.
    """
    made = Connection(
        **{each.name: getattr(settings, each.name) for each in dataclasses.fields(Connection)}
    )
    if made.api_key is not None and made.basic_auth is not None:
        raise ConfigurationError(
            "elasticsearch.api_key and elasticsearch.basic_auth are both set: one is enough"
        )
    if made.api_key is not None and settings.backend[0] == "opensearch":
        raise ConfigurationError(
            "elasticsearch.api_key: OpenSearch has no API keys, set elasticsearch.basic_auth"
        )
    if made.hosts and made.ca_certs is not None and not made.secure:
        raise ConfigurationError(
            "elasticsearch.ca_certs is set, but elasticsearch.hosts are no https:// URLs"
        )
    if made.sniff and any(urlsplit(url).path for url in made.hosts):
        raise ConfigurationError(
            "elasticsearch.sniff = true: nodes behind a path are not reached by what the "
            "cluster says of them"
        )
    return made
