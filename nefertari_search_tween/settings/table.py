"""Every setting in one table: key, converter, default, one line of documentation.

Settings that start with ``nefertari_search.`` are ours; an unknown one stops the
application. Those that start with ``elasticsearch.`` keep nefertari's names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional

from nefertari_search_tween.settings import connection as reach
from nefertari_search_tween.settings import index_files
from nefertari_search_tween.settings.converters import flag, names, number, one_of

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
    Setting(
        PREFIX + "cache",
        reach.cache_place,
        "",
        "Where answers are kept until something changes (caching.rst): memory, or the URL of a "
        "Redis; empty: nowhere. env:NAME and file:PATH as for passwords.",
        secret=True,
    ),
    Setting(
        PREFIX + "cache_size",
        number(int, 1, 1_000_000),
        "64",
        "Megabytes that the answers kept in the memory of one process may take.",
    ),
    Setting(
        PREFIX + "cache_seconds",
        number(int, 1, 30 * 86_400),
        "300",
        "How long an answer is kept at most.",
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
        index_files.analyzer,
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
        index_files.index_file,
        "",
        "A JSON file of index settings (shards, replicas, analyzers).",
    ),
)

# Settings whose names end with a model, or with a model and one of its fields.
FAMILIES: tuple[Setting, ...] = (
    Setting(
        PREFIX + "index_settings.MODEL",
        index_files.index_file,
        "",
        "A JSON file of settings for the index of one model; they go before those for all.",
    ),
    Setting(
        PREFIX + "analyzer.MODEL",
        index_files.chosen_analyzer,
        "",
        "The analyzer of the texts of one model, also where it is nested in others.",
    ),
    Setting(
        PREFIX + "analyzer.MODEL.FIELD",
        index_files.chosen_analyzer,
        "",
        "The analyzer of one text field.",
    ),
)
