"""Converters of the settings for connecting to a server: addresses, secrets, files."""

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
    """A bad value that messages must not contain."""


def hosts(text: str) -> tuple[str, ...]:
    """Convert ``a:9200, https://b:9200/path`` to URLs.

    :raises ValueError: an address without a port, with credentials, or with another scheme; one
        that is given twice.
    """
    if "@" in text:
        # Logs and messages contain addresses. A password with a comma would be taken apart below.
        raise Withheld("no credentials in an address, they belong in elasticsearch.basic_auth")
    urls = []
    for part in aslist(text):
        for each in filter(None, part.split(",")):
            urls.append(_host(each))
    if len({url.partition(":")[0] for url in urls}) > 1:
        raise ValueError("all must be http or all must be https")
    if len(set(urls)) < len(urls):
        twice = next(url for url in urls if urls.count(url) > 1)
        raise ValueError(f"{twice} is given more than once")
    return tuple(urls)


def _host(each: str) -> str:
    url = each if "://" in each else f"http://{each}"
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
    # In one form: two forms of an address are one node.
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port}{parts.path}".rstrip("/")


def secret(text: str) -> Optional[str]:
    """Return a secret: *text* itself, or from ``env:NAME`` (environment variable) or ``file:PATH``.

    :raises Withheld: it does not exist.
    """
    kind, _, name = text.partition(":")
    if kind == "env":
        value = os.environ.get(name)
        if not value:
            raise Withheld(f"the environment has no variable '{name}'")
        return value
    if kind == "file":
        try:
            with open(name, encoding="utf-8") as handle:
                value = handle.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise Withheld(f"can't read the file '{name}': {reason}") from error
        if not value:
            raise Withheld(f"the file '{name}' is empty")
        return value
    return text or None


def api_key(text: str) -> Optional[str]:
    """Return an API key in the encoded form that the server issued."""
    key = secret(text)
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise Withheld("must be one word, the 'encoded' form that the server issued")
    return key


def basic_auth(text: str) -> Optional[tuple[str, str]]:
    """Convert ``user:password``, or a reference to it (see :func:`secret`)."""
    value = secret(text)
    if value is None:
        return None
    user, colon, password = value.partition(":")
    if not user or not colon or not password:
        raise Withheld("must be user:password")
    return user, password


def cache_url(text: str) -> str:
    """Return ``memory``, a Redis URL (or a reference to it, see :func:`secret`), or an empty text.

    :raises Withheld: any other value.
    """
    value = secret(text) or ""
    if value in ("", "memory"):
        return value
    try:
        parts = urlsplit(value)
        # Reading an invalid port raises.
        server = parts.path if parts.scheme == "unix" else parts.hostname
        valid = parts.scheme in _REDIS and bool(server) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise Withheld("must be empty, memory, or a URL: redis://host:port/database")
    return value


def certificates(text: str) -> Optional[str]:
    """Return the path of a file of PEM certificates, None for the system's."""
    if not text:
        return None
    try:
        ssl.create_default_context(cafile=text)
    except ssl.SSLError as error:
        raise ValueError("the file contains no PEM certificate") from error
    except OSError as error:
        raise ValueError(f"can't read the certificates: {error.strerror}") from error
    return text


def connection(settings: Any) -> Connection:
    """Return the connection that the settings describe.

    :param settings: converted; their attributes have the names of the connection's.
    :raises ConfigurationError: settings contradict each other.
    """
    result = Connection(
        **{each.name: getattr(settings, each.name) for each in dataclasses.fields(Connection)}
    )
    if result.api_key is not None and result.basic_auth is not None:
        raise ConfigurationError(
            "elasticsearch.api_key and elasticsearch.basic_auth are both set: set only one"
        )
    if result.api_key is not None and settings.backend[0] == "opensearch":
        raise ConfigurationError(
            "elasticsearch.api_key: OpenSearch has no API keys, set elasticsearch.basic_auth"
        )
    if result.hosts and result.ca_certs is not None and not result.secure:
        raise ConfigurationError(
            "elasticsearch.ca_certs is set, but elasticsearch.hosts are not https:// URLs"
        )
    if result.sniff and any(urlsplit(url).path for url in result.hosts):
        raise ConfigurationError(
            "elasticsearch.sniff = true: nodes behind a path can't be reached at the "
            "addresses that the cluster reports"
        )
    return result
