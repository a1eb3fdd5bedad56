"""Every setting in one table: key, converter, default, one line of documentation.

Settings that start with ``nefertari_search.`` are this package's; an unknown one aborts start-up.
Those that start with ``elasticsearch.`` keep nefertari's names.
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
    :param convert: text to value; raises ValueError with the allowed values.
    :param default: the text if the key is absent.
    :param doc: one line for the documentation.
    :param secret: messages never contain the value.
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
    """Return the kind of the backend (empty if not set) and the directory of an embedded one."""
    kind, colon, directory = text.partition(":")
    if kind == "embedded" and directory:
        return kind, directory
    if not colon and kind in ("", "elasticsearch", "opensearch"):
        return kind, None
    raise ValueError("must be elasticsearch, opensearch or embedded:DIRECTORY")


SETTINGS: tuple[Setting, ...] = (
    Setting(
        PREFIX + "backend",
        _backend,
        "",
        "Where mirrors live: elasticsearch, opensearch, or embedded:DIRECTORY. If empty: "
        "elasticsearch when its hosts are set, otherwise embedded:INDEX_NAME-search in the "
        "working directory.",
    ),
    Setting(
        PREFIX + "read_from",
        one_of("mirror", "primary"),
        "mirror",
        "Where collection reads without a _search flag go: mirror or primary.",
    ),
    Setting(
        PREFIX + "models",
        names,
        "",
        "Models to mirror: names joined by commas, or * for all. If empty: those that nefertari "
        "indexes and those marked @mirrored.",
    ),
    Setting(
        PREFIX + "sync",
        one_of("inline", "worker"),
        "inline",
        "Who indexes changes. inline: the process that made them, right after its commit; worker: "
        "processes that run nefertari-search worker.",
    ),
    Setting(
        PREFIX + "schema",
        one_of("create", "validate", "none"),
        "create",
        "What to do about indices at start-up. create: create those of empty tables, warn about "
        "others that are missing or have another schema; validate: create none, and refuse to "
        "start without them; none: do not check.",
    ),
    Setting(
        PREFIX + "consistency",
        one_of("read_your_writes", "eventual"),
        "read_your_writes",
        "read_your_writes: a read sees every write that any process committed before it; "
        "eventual: a read may miss recent writes.",
    ),
    Setting(
        PREFIX + "fallback_to_primary",
        flag,
        "true",
        "When a mirror is unavailable or stale, true: answer transparent reads from the primary; "
        "false: answer them with 503.",
    ),
    Setting(
        PREFIX + "cache",
        reach.cache_url,
        "",
        "Where answers are cached until something changes (caching.rst): memory, or the URL of a "
        "Redis server. If empty: nowhere. env:NAME and file:PATH work as for passwords.",
        secret=True,
    ),
    Setting(
        PREFIX + "cache_megabytes",
        number(int, 1, 1_000_000),
        "64",
        "Maximum size of the in-memory cache of one process, in megabytes.",
    ),
    Setting(
        PREFIX + "cache_ttl",
        number(int, 1, 30 * 86_400),
        "300",
        "Maximum time that an answer is cached, in seconds.",
    ),
    Setting(
        PREFIX + "search_timeout",
        number(float, 0.001, 3600),
        "5",
        "Maximum time that a search may take, in seconds.",
    ),
    Setting(
        PREFIX + "hidden_fields",
        one_of("deny", "allow"),
        "deny",
        "Whether callers may filter, sort and aggregate by fields that they may not see "
        "(privacy.rst): deny or allow.",
    ),
    Setting(
        PREFIX + "max_result_window",
        number(int, 1, 10_000_000),
        "10000",
        "Maximum _start + _limit of a search; transparent reads beyond it use the primary.",
    ),
    Setting(
        PREFIX + "max_query_string",
        number(int, 256, 10_000_000),
        "65536",
        "Maximum length of the query string of a routed read, in bytes; longer ones are rejected "
        "with 400.",
    ),
    Setting(
        PREFIX + "max_clauses",
        number(int, 1, 100_000),
        "256",
        "Maximum number of terms, ranges and patterns in one search read.",
    ),
    Setting(
        PREFIX + "max_buckets",
        number(int, 1, 65_536),
        "10000",
        "Maximum number of buckets that the sizes in one aggregation request may amount to.",
    ),
    Setting(
        PREFIX + "allow_leading_wildcards",
        flag,
        "false",
        "Allow patterns that start with * or ? (they read every term of a field).",
    ),
    Setting(
        PREFIX + "allow_regular_expressions",
        flag,
        "false",
        "Allow /regular expressions/ in search reads.",
    ),
    Setting(
        PREFIX + "analyzer",
        index_files.analyzer,
        "",
        "Analyzer of all text fields. If empty: the index's default, which is standard.",
    ),
    Setting(
        SERVER_PREFIX + "hosts", reach.hosts, "", "host:port or URL of each node, joined by commas."
    ),
    Setting(
        SERVER_PREFIX + "index_name",
        str,
        "",
        "Prefix of all index names. If empty: the name of the application's package.",
    ),
    Setting(
        SERVER_PREFIX + "chunk_size",
        number(int, 1, 100_000),
        "500",
        "Documents per bulk request.",
    ),
    Setting(
        SERVER_PREFIX + "basic_auth",
        reach.basic_auth,
        "",
        "user:password, or env:NAME or file:PATH of a variable or file that contains them.",
        secret=True,
    ),
    Setting(
        SERVER_PREFIX + "api_key",
        reach.api_key,
        "",
        "An encoded Elasticsearch API key, or env:NAME or file:PATH of one.",
        secret=True,
    ),
    Setting(
        SERVER_PREFIX + "ca_certs",
        reach.certificates,
        "",
        "PEM file with the CA certificates for https hosts. If empty: the system's.",
    ),
    Setting(
        SERVER_PREFIX + "verify_certs",
        flag,
        "true",
        "false: accept any certificate from https hosts.",
    ),
    Setting(
        SERVER_PREFIX + "sniff",
        flag,
        "false",
        "Discover the other nodes of the cluster, at the first answer and after a failure.",
    ),
    Setting(
        SERVER_PREFIX + "compress",
        flag,
        "false",
        "Compress requests, and ask for compressed responses.",
    ),
    Setting(
        SERVER_PREFIX + "retries",
        number(int, 0, 100),
        "1",
        "How often a failed request is retried, on another node if there is one.",
    ),
    Setting(
        SERVER_PREFIX + "retry_on_timeout",
        flag,
        "false",
        "Also retry after a timeout: a caller may wait (retries + 1) times as long.",
    ),
    Setting(
        SERVER_PREFIX + "write_timeout",
        number(float, 0.001, 3600),
        "60",
        "Maximum time for a command's bulk request or for creating an index, in seconds.",
    ),
    Setting(
        SERVER_PREFIX + "enable_refresh_query",
        flag,
        "false",
        "Accept _refresh_index in the query string of writes.",
    ),
    Setting(
        SERVER_PREFIX + "enable_aggregations",
        flag,
        "false",
        "Enable nefertari's aggregations (aggregations.rst).",
    ),
    Setting(
        SERVER_PREFIX + "enable_polymorphic_query",
        flag,
        "false",
        "Enable nefertari's requests for several collections, /users,stories (several.rst).",
    ),
    Setting(
        SERVER_PREFIX + "index.settings_file",
        index_files.index_file,
        "",
        "JSON file with index settings (shards, replicas, analyzers).",
    ),
)

# Settings whose names end with a model, or with a model and one of its fields.
FAMILIES: tuple[Setting, ...] = (
    Setting(
        PREFIX + "index_settings.MODEL",
        index_files.index_file,
        "",
        "JSON file with settings for the index of one model; they take precedence over those for "
        "all.",
    ),
    Setting(
        PREFIX + "analyzer.MODEL",
        index_files.required_analyzer,
        "",
        "Analyzer of the text fields of one model, also where it is nested in others.",
    ),
    Setting(
        PREFIX + "analyzer.MODEL.FIELD",
        index_files.required_analyzer,
        "",
        "Analyzer of one text field.",
    ),
)
