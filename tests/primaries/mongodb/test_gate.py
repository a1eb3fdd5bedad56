"""Nothing passes beside the gate on MongoDB, which takes a dict as a query in its own language.

The application and the questions are those of read/privacy.
"""

from __future__ import annotations

import pytest

from tests.apps.private_fields import INI
from tests.apps.private_fields.contents import filled
from tests.apps.private_fields.running import Club
from tests.read.privacy.gate_tests import *  # noqa: F403 - run here, too
from tests.support.mongodb import ini_on_mongodb

pytestmark = [pytest.mark.mongodb, pytest.mark.thorough]


@pytest.fixture(scope="module")
def club(tmp_path_factory, backend_url, module_prefix, mongodb):
    """The application on MongoDB, filled."""
    ini = ini_on_mongodb(INI, mongodb)
    folder = tmp_path_factory.mktemp("members")
    club = Club(folder, backend_url, module_prefix, ini, tunneling="true")
    yield from filled(club)
