"""Every setting in one table: key, converter, default, one line of documentation.

Settings that start with ``nefertari_search.`` are ours; an unknown one stops the
application. Those that start with ``elasticsearch.`` keep nefertari's names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from nefertari_search_tween import connection_settings as reach
from nefertari_search_tween import index_settings
from nefertari_search_tween.backends.connection import Connection
from nefertari_search_tween.converters import flag, names, number, one_of
from nefertari_search_tween.exceptions import ConfigurationError

PREFIX = "nefertari_search."
SERVER_PREFIX = "elasticsearch."


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    :param key: full name in the ini file.
    :param convert: string to value; raises ValueError with what is allowed.
    :param default: the ini text that stands when the key is absent.
    :param doc: one line for the documentation.
    :param secret: messages never show the value.
    """

    key: str
    convert: Callable[[str], Any]
    default: str
    doc: str
    secret: bool = False

    @property
    def attribute(self) -> str:
        prefix = PREFIX if self.key.startswith(PREFIX) else SERVER_PREFIX
        return self.key[len(prefix) :].replace(".", "_")


def _backend(text: str) -> tuple[str, Optional[str]]:
    """Kind (empty: not said) and, of an embedded one, directory."""
    kind, colon, place = text.partition(":")
    if kind == "embedded" and place:
        return kind, place
    if not colon and kind in ("", "elasticsearch", "opensearch"):
        return kind, None
    raise ValueError("must be elasticsearch, opensearch or embedded:DIRECTORY")


SETTINGS: tuple[Setting, ...] = (
    Setting(
        PREFIX + "backend",
        _backend,
        "",
        "Where mirrors live: elasticsearch, opensearch, or embedded:DIRECTORY. Empty: "
        "elasticsearch when its hosts are set, else embedded:INDEX_NAME-search in the working "
        "directory.",
    ),
    Setting(
        PREFIX + "default",
        one_of("mirror", "primary"),
        "mirror",
        "Where a collection read goes without a _search flag.",
    ),
    Setting(
        PREFIX + "models",
        names,
        "",
        "Models to mirror: names, or * for all; empty: those with an index or marked @mirrored.",
    ),
    Setting(
        PREFIX + "sync",
        one_of("inline", "worker"),
        "inline",
        "Who indexes changes. inline: the process that made them, right after its commit; worker: "
        "processes of nefertari-search sync --follow.",
    ),
    Setting(
        PREFIX + "schema",
        one_of("create", "validate", "none"),
        "create",
        "At start. create: make indices of empty tables, warn of others that are missing or of "
        "another schema; validate: make none, and do not start without them; none: do not look.",
    ),
    Setting(
        PREFIX + "consistency",
        one_of("read_your_writes", "eventual"),
        "read_your_writes",
        "read_your_writes: a read sees every write that was committed before it, by any process.",
    ),
    Setting(
        PREFIX + "fallback",
        flag,
        "true",
        "A mirror that is down or behind: answer transparent reads from the primary, or 503.",
    ),
    Setting(PREFIX + "timeout", number(float, 0.001, 3600), "5", "Seconds that a search may take."),
    Setting(
        PREFIX + "hidden_fields",
        one_of("deny", "allow"),
        "deny",
        "Filtering, sorting and aggregating by fields that the caller may not see (privacy).",
    ),
    Setting(
        PREFIX + "max_result_window",
        number(int, 1, 10_000_000),
        "10000",
        "The largest _start + _limit of a search; transparent reads beyond it use the primary.",
    ),
    Setting(
        PREFIX + "max_query_string",
        number(int, 256, 10_000_000),
        "65536",
        "The longest query string of a routed read, in bytes; longer ones are refused with 400.",
    ),
    Setting(
        PREFIX + "max_clauses",
        number(int, 1, 100_000),
        "256",
        "The most words, ranges and patterns that one search read may hold.",
    ),
    Setting(
        PREFIX + "max_buckets",
        number(int, 1, 65_536),
        "10000",
        "The most buckets that the sizes of one request for aggregations may come to.",
    ),
    Setting(
        PREFIX + "leading_wildcards",
        flag,
        "false",
        "Allow patterns that start with * or ? (they read every term of a field).",
    ),
    Setting(
        PREFIX + "regular_expressions",
        flag,
        "false",
        "Allow /regular expressions/ in search reads.",
    ),
    Setting(
        PREFIX + "analyzer",
        index_settings.analyzer,
        "",
        "The analyzer of all texts; empty: the index's default, which is standard.",
    ),
    Setting(
        SERVER_PREFIX + "hosts", reach.hosts, "", "host:port or URL of each node, joined by commas."
    ),
    Setting(
        SERVER_PREFIX + "index_name",
        str,
        "",
        "Prefix of the names of all indices; empty: the name of the application's package.",
    ),
    Setting(
        SERVER_PREFIX + "chunk_size",
        number(int, 1, 100_000),
        "500",
        "Documents in one bulk request.",
    ),
    Setting(
        SERVER_PREFIX + "basic_auth",
        reach.basic_auth,
        "",
        "user:password, or env:NAME of a variable or file:PATH of a file that holds them.",
        secret=True,
    ),
    Setting(
        SERVER_PREFIX + "api_key",
        reach.api_key,
        "",
        "An encoded API key of Elasticsearch, or env:NAME or file:PATH of it.",
        secret=True,
    ),
    Setting(
        SERVER_PREFIX + "ca_certs",
        reach.certificates,
        "",
        "PEM file of the certificates that vouch for https hosts; empty: the system's.",
    ),
    Setting(
        SERVER_PREFIX + "verify_certs",
        flag,
        "true",
        "false: trust whoever answers at an https host.",
    ),
    Setting(
        SERVER_PREFIX + "sniff",
        flag,
        "false",
        "Find the other nodes of the cluster, at the first answer and after a fault.",
    ),
    Setting(
        SERVER_PREFIX + "compress", flag, "false", "Compress requests and ask for such answers."
    ),
    Setting(
        SERVER_PREFIX + "retries",
        number(int, 0, 100),
        "1",
        "How often a failed request is tried again, on another node if there is one.",
    ),
    Setting(
        SERVER_PREFIX + "retry_on_timeout",
        flag,
        "false",
        "Retry after a time-out, too: a caller may wait (retries + 1) times as long.",
    ),
    Setting(
        SERVER_PREFIX + "write_timeout",
        number(float, 0.001, 3600),
        "60",
        "Seconds that a bulk of a command or the creation of an index may take.",
    ),
    Setting(
        SERVER_PREFIX + "enable_refresh_query",
        flag,
        "false",
        "Accept _refresh_index in the query string of writes.",
    ),
    Setting(SERVER_PREFIX + "enable_aggregations", flag, "false", "nefertari's aggregations."),
    Setting(
        SERVER_PREFIX + "enable_polymorphic_query",
        flag,
        "false",
        "nefertari's /users,stories (several.rst).",
    ),
    Setting(
        SERVER_PREFIX + "index.settings_file",
        index_settings.index_file,
        "",
        "A JSON file of index settings (shards, replicas, analyzers).",
    ),
)

# Settings whose names end with a model, or with a model and one of its fields.
FAMILIES: tuple[Setting, ...] = (
    Setting(
        PREFIX + "index_settings.MODEL",
        index_settings.index_file,
        "",
        "A JSON file of settings for the index of one model; they go before those for all.",
    ),
    Setting(
        PREFIX + "analyzer.MODEL",
        index_settings.chosen_analyzer,
        "",
        "The analyzer of the texts of one model, also where it is nested in others.",
    ),
    Setting(
        PREFIX + "analyzer.MODEL.FIELD",
        index_settings.chosen_analyzer,
        "",
        "The analyzer of one text field.",
    ),
)


class Settings:
    """The converted settings of one application, one attribute per row of SETTINGS.

    ``nefertari_search.max_clauses`` is ``settings.max_clauses``,
    ``elasticsearch.index.settings_file`` is ``settings.index_settings_file``.
    """

    backend: tuple[str, Optional[str]]
    default: str
    models: tuple[str, ...]
    sync: str
    schema: str
    consistency: str
    fallback: bool
    timeout: float
    hidden_fields: str
    max_result_window: int
    max_query_string: int
    max_clauses: int
    max_buckets: int
    leading_wildcards: bool
    regular_expressions: bool
    analyzer: str
    hosts: tuple[str, ...]
    index_name: str
    chunk_size: int
    basic_auth: Optional[tuple[str, str]]
    api_key: Optional[str]
    ca_certs: Optional[str]
    verify_certs: bool
    sniff: bool
    compress: bool
    retries: int
    retry_on_timeout: bool
    write_timeout: float
    enable_refresh_query: bool
    enable_aggregations: bool
    enable_polymorphic_query: bool
    index_settings_file: index_settings.IndexFile
    #: of one model, by its name
    model_index_settings: dict[str, index_settings.IndexFile]
    #: of MODEL or MODEL.FIELD
    analyzers: dict[str, str]
    connection: Connection

    def __init__(self, raw: Mapping[str, Any], package: str = "") -> None:
        """Convert *raw* (an application's ``registry.settings``).

        :param package: name of the application's package.
        :raises ConfigurationError: an unknown key under our prefix or a bad value.
        """
        known = {setting.key for setting in SETTINGS}
        unknown = sorted(
            key
            for key in raw
            if key.startswith(PREFIX) and key not in known and _family(key) is None
        )
        if unknown:
            raise ConfigurationError(
                f"unknown setting {', '.join(unknown)}; known are: "
                + ", ".join(sorted(key for key in known if key.startswith(PREFIX)))
                + ", "
                + ", ".join(family.key for family in FAMILIES)
            )
        for setting in SETTINGS:
            text = raw.get(setting.key, setting.default)
            setattr(self, setting.attribute, _converted(setting, setting.key, text))
        self._read_families(raw)
        if not self.index_name:
            self.index_name = package.lower()
        if not self.index_name:
            raise ConfigurationError("elasticsearch.index_name is not set")
        if self.index_name != self.index_name.lower() or not self.index_name[0].isalnum():
            raise ConfigurationError(
                f"elasticsearch.index_name = {self.index_name}: must be lower case and start "
                "with a letter or a digit"
            )
        kind, place = self.backend
        if not kind:
            kind = "elasticsearch" if self.hosts else "embedded"
        if kind != "embedded" and not self.hosts:
            raise ConfigurationError(
                f"nefertari_search.backend = {kind}: elasticsearch.hosts is not set (host:port "
                "of a server; or, without a server, "
                "nefertari_search.backend = embedded:%(here)s/search)"
            )
        if kind == "embedded":
            # What the setting means must not change when a process changes its directory.
            place = os.path.abspath(place or f"{self.index_name}-search")
        self.backend = kind, place
        self.connection = reach.connection(self)

    def _read_families(self, raw: Mapping[str, Any]) -> None:
        self.model_index_settings, self.analyzers = {}, {}
        for key, text in raw.items():
            family = _family(key)
            if family is not None:
                value = _converted(family, key, text)
                kind, _, name = key[len(PREFIX) :].partition(".")
                held = self.analyzers if kind == "analyzer" else self.model_index_settings
                held[name] = value

    @property
    def where(self) -> str:
        """Where mirrors live, for people: kind of the backend, and its place (no secrets)."""
        kind, place = self.backend
        hosts = (urlsplit(host).netloc for host in self.hosts)
        return f"{kind} {place or ', '.join(hosts)}"


def _family(key: str) -> Optional[Setting]:
    """The row of FAMILIES that *key* is one of."""
    parts = key.split(".")
    for family in FAMILIES:
        pattern = family.key.split(".")
        if len(parts) == len(pattern) and all(
            want == part or (want.isupper() and part) for want, part in zip(pattern, parts)
        ):
            return family
    return None


def _converted(setting: Setting, key: str, text: Any) -> Any:
    """The value of *text*, which is set as *key*.

    :raises ConfigurationError: a bad value, shown unless it is a secret.
    """
    try:
        return setting.convert(str(text).strip())
    except reach.Withheld as error:
        # Without the value, and without the error that may hold it, in the traceback, too.
        raise ConfigurationError(f"{key}: {error}") from None
    except ValueError as error:
        if setting.secret:
            raise ConfigurationError(f"{key} has a bad value") from None
        raise ConfigurationError(f"{key} = {text}: {error}") from error
