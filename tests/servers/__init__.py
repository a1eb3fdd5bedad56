"""Real servers on loopback for the tests and the demo: fetched, started and stopped from here.

Standard library only, since the demo starts a server before anything is installed:

    with ElasticsearchServer() as server:
        print(server.url)

    python -m tests.servers elasticsearch start --state DIR
    python -m tests.servers elasticsearch stop --state DIR
"""

from tests.servers.base import Server, ServerFailed, ServerMissing, free_port
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.ferretdb import FerretdbServer
from tests.servers.mariadb import MariadbServer
from tests.servers.opensearch import OpenSearchServer
from tests.servers.postgresql import PostgresServer
from tests.servers.pserve import Pserve
from tests.servers.redis import RedisServer

__all__ = [
    "ElasticsearchServer",
    "FerretdbServer",
    "MariadbServer",
    "OpenSearchServer",
    "PostgresServer",
    "Pserve",
    "RedisServer",
    "Server",
    "ServerFailed",
    "ServerMissing",
    "free_port",
]
