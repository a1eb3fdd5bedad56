"""How a search server is reached: what the two clients are made of."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Optional

# A node that failed is left alone for a second, then for twice as long at each failure.
FIRST_REST_SECONDS = 1
LONGEST_REST_SECONDS = 30


@dataclass(frozen=True)
class Connection:
    """The addresses of a server and all that its client needs to know.

    :param hosts: URLs of the nodes, all ``http`` or all ``https``.
    :param timeout: seconds to wait for an answer to a search.
    :param write_timeout: seconds that a bulk or the creation of an index may take.
    :param sniff: find the other nodes of the cluster, after the first answer and after a fault.
    :param api_key: as the server gave it out ("encoded"); Elasticsearch only.
    :param basic_auth: user and password.
    :param ca_certs: file of the certificates that sign the server's; None: the system's.
    :param verify_certs: False trusts any server that answers.
    :param compress: send requests compressed and ask for compressed answers.
    :param retries: how often a request that failed is tried again, on another node if there is
        one.
    :param retry_on_timeout: try again after a time-out, too: the caller may then wait for
        (retries + 1) times the time-out.
    """

    hosts: tuple[str, ...]
    search_timeout: float = 5.0
    write_timeout: float = 60.0
    sniff: bool = False
    # No repr: an object of this class may end up in a traceback.
    api_key: Optional[str] = field(default=None, repr=False)
    basic_auth: Optional[tuple[str, str]] = field(default=None, repr=False)
    ca_certs: Optional[str] = None
    verify_certs: bool = True
    compress: bool = False
    retries: int = 1
    retry_on_timeout: bool = False

    @property
    def secure(self) -> bool:
        return self.hosts[0].startswith("https:")

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries, those that look for nodes included."""
        if self.api_key is not None:
            return {"authorization": f"ApiKey {self.api_key}"}
        if self.basic_auth is not None:
            # As both servers read it; the clients themselves would write Latin-1.
            text = ":".join(self.basic_auth).encode("utf-8")
            return {"authorization": "Basic " + base64.b64encode(text).decode("ascii")}
        return {}

    @property
    def credentials(self) -> str:
        """The setting that holds the credentials in use, for messages."""
        if self.api_key is not None:
            return "elasticsearch.api_key"
        return "elasticsearch.basic_auth"

    def refusal(self, status: int) -> str:
        """What to tell of an answer of *status* 401 or 403."""
        if status == 403:
            return f"the search server does not allow this (see {self.credentials})"
        if self.api_key is None and self.basic_auth is None:
            return (
                "the search server asks for credentials: set elasticsearch.basic_auth or "
                "elasticsearch.api_key"
            )
        return f"the search server does not accept {self.credentials}"
