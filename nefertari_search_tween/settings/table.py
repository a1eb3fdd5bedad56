"""Every setting in one table: key, converter, default, one line of documentation.

Settings that start with ``nefertari_search.`` are this package's; an unknown one aborts start-up.
Those that start with ``elasticsearch.`` keep nefertari's names.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Generic, Optional, TypeVar, overload

from nefertari_search_tween.settings import connection as reach
from nefertari_search_tween.settings import index_files
from nefertari_search_tween.settings.converters import (
    dotted_names,
    flag,
    members,
    names,
    number,
    one_of,
    optional,
    tags,
)
from nefertari_search_tween.settings.synonyms import synonym_file

PREFIX = "nefertari_search."
SERVER_PREFIX = "elasticsearch."


Value = TypeVar("Value")


class Setting(Generic[Value]):
    """One row of the table; where it is read as an attribute of settings, the converted value.

    :param convert: text to value; raises ValueError with the allowed values.
    :param default: the text if the key is absent.
    :param doc: one line for the documentation.
    :param secret: messages never contain the value.
    :param key: full name in the ini file, if it is not the prefix of the table and the attribute.
    """

    def __init__(
        self,
        convert: Callable[[str], Value],
        default: str,
        doc: str,
        secret: bool = False,
        key: str = "",
    ) -> None:
        self.convert = convert
        self.default = default
        self.doc = doc
        self.secret = secret
        self.key = key

    def __set_name__(self, owner: Any, name: str) -> None:
        self.attribute = name
        self.key = self.key or owner.prefix + name

    @overload
    def __get__(self, instance: None, owner: Any) -> Setting[Value]: ...

    @overload
    def __get__(self, instance: object, owner: Any) -> Value: ...

    def __get__(self, instance: Any, owner: Any) -> Any:
        # Only for the class: the values of an instance are in the instance.
        return self


def _backend(text: str) -> tuple[str, Optional[str]]:
    """Return the kind of the backend (empty if not set) and the directory of an embedded one."""
    kind, colon, directory = text.partition(":")
    if kind == "embedded" and directory:
        return kind, directory
    if not colon and kind in ("", "elasticsearch", "opensearch"):
        return kind, None
    raise ValueError("must be elasticsearch, opensearch or embedded:DIRECTORY")


def _index_name(text: str) -> str:
    """Return a prefix of names of indices.

    Of the characters that some server has a meaning for (wildcards, lists, exclusions, dates,
    clusters) none is allowed, nor is any that is not known to have none.
    """
    if text and (text != text.lower() or not re.fullmatch(r"[^\W_][\w.-]*", text)):
        raise ValueError(
            "must be of lower case letters, digits, '-', '_' and '.', and start with a letter or "
            "a digit"
        )
    return text


class SearchSettings:
    """The settings of this package."""

    prefix = PREFIX

    backend = Setting(
        _backend,
        "",
        "Where mirrors live: elasticsearch, opensearch, or embedded:DIRECTORY. If empty: "
        "elasticsearch when its hosts are set, otherwise embedded:INDEX_NAME-search in the "
        "working directory.",
    )
    read_from = Setting(
        one_of("mirror", "primary"),
        "mirror",
        "Where collection reads without a _search flag go: mirror or primary.",
    )
    models = Setting(
        names,
        "",
        "Models to mirror: names joined by commas, or * for all. If empty: those that nefertari "
        "indexes and those marked @mirrored.",
    )
    sync = Setting(
        one_of("inline", "background", "worker"),
        "inline",
        "Who indexes changes. inline: the process that made them, right after its commit; "
        "background: a thread of that process, which its commit does not wait for; worker: "
        "processes that run nefertari-search worker.",
    )
    schema = Setting(
        one_of("create", "validate", "none"),
        "create",
        "What to do about indices at start-up. create: create those of empty tables, warn about "
        "others that are missing or have another schema; validate: create none, and refuse to "
        "start without them; none: check only whether they "
        "belong to another database.",
    )
    consistency = Setting(
        one_of("read_your_writes", "eventual"),
        "read_your_writes",
        "read_your_writes: a read sees every write that any process committed before it; "
        "eventual: a read may miss recent writes.",
    )
    fallback_to_primary = Setting(
        flag,
        "true",
        "When a mirror is unavailable or stale, true: answer transparent reads from the primary; "
        "false: answer them with 503.",
    )
    cache = Setting(
        reach.cache_url,
        "",
        "Where answers are cached until something changes (caching.rst): memory, or the URL of a "
        "Redis server. If empty: nowhere. env:NAME and file:PATH work as for passwords.",
        secret=True,
    )
    cache_megabytes = Setting(
        number(int, 1, 1_000_000),
        "64",
        "Maximum size of the in-memory cache of one process, in megabytes.",
    )
    cache_ttl = Setting(
        number(int, 1, 30 * 86_400),
        "300",
        "Maximum time that an answer is cached, in seconds.",
    )
    search_timeout = Setting(
        number(float, 0.001, 3600),
        "5",
        "Maximum time that a search may take, in seconds.",
    )
    primary_timeout = Setting(
        optional(number(float, 0.001, 3600)),
        "",
        "Maximum time that the primary's statements may take for one routed read, in seconds; "
        "after that the answer is 503. If empty: no limit.",
    )
    hidden_fields = Setting(
        one_of("deny", "allow"),
        "deny",
        "Whether callers may filter, sort and aggregate by fields that they may not see "
        "(privacy.rst): deny or allow.",
    )
    trusted_hooks = Setting(
        dotted_names,
        "",
        "Code of the application, by dotted name and joined by commas, that answers all requests "
        "in the same way (privacy.rst): a to_dict, a listener, a query class; or a table.",
    )
    trusted_members = Setting(
        members,
        "",
        "MODEL.MEMBER, joined by commas: relationships and columns that can't be followed, and "
        "whose changes the application reports itself (consistency.rst).",
    )
    max_result_window = Setting(
        number(int, 1, 10_000_000),
        "10000",
        "Maximum _start + _limit of a search; transparent reads beyond it use the primary.",
    )
    max_limit = Setting(
        optional(number(int, 1, 10_000_000)),
        "",
        "Maximum _limit of a collection read, whether a mirror or the primary answers it; larger "
        "ones are rejected with 400. If empty: no limit.",
    )
    max_query_string = Setting(
        number(int, 256, 10_000_000),
        "65536",
        "Maximum length of the query string of a routed read, in bytes; longer ones are rejected "
        "with 400.",
    )
    max_clauses = Setting(
        number(int, 1, 100_000),
        "256",
        "Maximum number of terms, ranges and patterns in one search read.",
    )
    max_buckets = Setting(
        number(int, 1, 65_536),
        "10000",
        "Maximum number of buckets that the sizes in one aggregation request may amount to.",
    )
    q = Setting(
        one_of("lucene", "box"),
        "lucene",
        "How the parameter q is read. lucene: query syntax, whose errors are reported; box: like "
        "_query, as the text of a search box (searchbox.rst).",
    )
    synonyms = Setting(
        synonym_file,
        "",
        "File of synonyms that a search box knows, in Solr's format: couch, sofa; teh => the "
        "(searchbox.rst).",
    )
    similar_below = Setting(
        number(int, 0, 1_000_000),
        "1",
        "With fewer results than this, a search box looks for similar words, too: typos, words "
        "written as one or as two (searchbox.rst). 0: never.",
    )
    highlight_tags = Setting(
        tags,
        "<em>|</em>",
        "What _highlight puts in front of a match and behind it, joined by a bar (searchbox.rst).",
    )
    highlight_size = Setting(
        number(int, 1, 1_000_000),
        "120",
        "Characters of one fragment of _highlight, approximately.",
    )
    highlight_count = Setting(
        number(int, 0, 10_000),
        "3",
        "Maximum number of fragments of one field; 0: whole texts.",
    )
    allow_leading_wildcards = Setting(
        flag,
        "false",
        "Allow patterns that start with * or ? (they read every term of a field).",
    )
    allow_regular_expressions = Setting(
        flag,
        "false",
        "Allow /regular expressions/ in search reads.",
    )
    analyzer = Setting(
        index_files.analyzer,
        "",
        "Analyzer of all text fields. If empty: the index's default, which is standard.",
    )


class ServerSettings:
    """The settings that nefertari names."""

    prefix = SERVER_PREFIX

    hosts = Setting(reach.hosts, "", "host:port or URL of each node, joined by commas.")
    index_name = Setting(
        _index_name,
        "",
        "Prefix of all index names, of lower case letters, digits, '-', '_' and '.'. If empty: the "
        "name of the application's package.",
    )
    chunk_size = Setting(
        number(int, 1, 100_000),
        "500",
        "Documents per bulk request.",
    )
    basic_auth = Setting(
        reach.basic_auth,
        "",
        "user:password, or env:NAME or file:PATH of a variable or file that contains them.",
        secret=True,
    )
    api_key = Setting(
        reach.api_key,
        "",
        "An encoded Elasticsearch API key, or env:NAME or file:PATH of one.",
        secret=True,
    )
    ca_certs = Setting(
        reach.certificates,
        "",
        "PEM file with the CA certificates for https hosts. If empty: the system's.",
    )
    verify_certs = Setting(
        flag,
        "true",
        "false: accept any certificate from https hosts.",
    )
    sniff = Setting(
        flag,
        "false",
        "Discover the other nodes of the cluster, at the first answer and after a failure.",
    )
    compress = Setting(
        flag,
        "false",
        "Compress requests, and ask for compressed responses.",
    )
    retries = Setting(
        number(int, 0, 100),
        "1",
        "How often a failed request is retried, on another node if there is one.",
    )
    retry_on_timeout = Setting(
        flag,
        "false",
        "Also retry after a timeout: a caller may wait (retries + 1) times as long.",
    )
    write_timeout = Setting(
        number(float, 0.001, 3600),
        "60",
        "Maximum time for a command's bulk request or for creating an index, in seconds.",
    )
    enable_refresh_query = Setting(
        flag,
        "false",
        "Accept _refresh_index in the query string of writes.",
    )
    enable_aggregations = Setting(
        flag,
        "false",
        "Enable nefertari's aggregations (aggregations.rst).",
    )
    enable_polymorphic_query = Setting(
        flag,
        "false",
        "Enable nefertari's requests for several collections, /users,stories (several.rst).",
    )
    index_settings_file = Setting(
        index_files.index_file,
        "",
        "JSON file with index settings (shards, replicas, analyzers).",
        key=SERVER_PREFIX + "index.settings_file",
    )


SETTINGS: tuple[Setting[Any], ...] = tuple(
    row
    for table in (SearchSettings, ServerSettings)
    for row in vars(table).values()
    if isinstance(row, Setting)
)

# Settings whose names end with a model, or with a model and one of its fields.
FAMILIES: tuple[Setting[Any], ...] = (
    Setting(
        index_files.index_file,
        "",
        "JSON file with settings for the index of one model; they take precedence over those for "
        "all.",
        key=PREFIX + "index_settings.MODEL",
    ),
    Setting(
        index_files.required_analyzer,
        "",
        "Analyzer of the text fields of one model, also where it is nested in others.",
        key=PREFIX + "analyzer.MODEL",
    ),
    Setting(
        index_files.required_analyzer,
        "",
        "Analyzer of one text field.",
        key=PREFIX + "analyzer.MODEL.FIELD",
    ),
    Setting(
        index_files.search_fields,
        "",
        "Fields of one model that q and _query search, with weights: title^5, director.name^3. "
        "Without it: those of @mirrored(search_fields=...), or all (searchbox.rst).",
        key=PREFIX + "search_fields.MODEL",
    ),
)
