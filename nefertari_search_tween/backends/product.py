"""Which product a search server is: not every backend works with each."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

ELASTICSEARCH, OPENSEARCH = "Elasticsearch", "OpenSearch"
#: the oldest major version of each product that its backend works with
OLDEST = {ELASTICSEARCH: 8, OPENSEARCH: 2}
# "no handler found for uri [/] and method [GET]", "Incorrect HTTP method for uri [/] ..."
_NO_ROOT = "for uri [/]"


class Product(NamedTuple):
    """A search server.

    :param number: its version, empty if it is not known.
    """

    name: str
    number: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.number}".rstrip()


def product_of(about: Any) -> Optional[Product]:
    """Return the server that says *about* itself at its root, None if it does not say it.

    OpenSearch names itself as a distribution. Elasticsearch does not, and a minimal one has nothing
    at its root, which its error says; OpenSearch always has.
    """
    if _NO_ROOT in str(about):
        return Product(ELASTICSEARCH)
    version = about.get("version") if isinstance(about, dict) else None
    if not isinstance(version, dict) or not isinstance(version.get("number"), str):
        return None
    is_opensearch = version.get("distribution") == "opensearch"
    return Product(OPENSEARCH if is_opensearch else ELASTICSEARCH, version["number"])


def conflict(product: str, about: Any) -> Optional[str]:
    """Return what is wrong with a server that says *about* itself at its root; None if nothing is
    known to be: a proxy may well answer for it.

    :param product: the one that the backend works with.
    """
    server = product_of(about)
    if server is None:
        return None
    supported = f"{product} {OLDEST[product]} or newer"
    advice = f"set elasticsearch.hosts to {supported}"
    if server.name != product:
        return f"{server}: {advice}, or nefertari_search.backend = {server.name.lower()}"
    major = server.number.partition(".")[0]
    if major.isdecimal() and int(major) < OLDEST[product]:
        return f"{server}: {advice}"
    return None
