"""Nobody learns anything about a hidden field on MongoDB, either.

The application and the questions are those of read/privacy/test_hidden_fields.py.
"""

from __future__ import annotations

import pytest

from tests.apps.private_fields import INI
from tests.apps.private_fields.contents import filled
from tests.apps.private_fields.running import Club
from tests.read.privacy.test_hidden_fields import (  # noqa: F401 - run here, too
    test_a_hidden_field_is_one_that_does_not_exist,
    test_admins_name_every_field,
    test_admins_sort_by_what_is_nested,
    test_fields_are_for_who_may_name_them,
    test_hidden_fields_may_be_allowed,
)
from tests.support.mongodb import ini_on_mongodb

pytestmark = pytest.mark.mongodb


@pytest.fixture(scope="module")
def club(tmp_path_factory, backend_url, module_prefix, mongodb):
    """The application on MongoDB, filled."""
    ini = ini_on_mongodb(INI, mongodb)
    club = Club(tmp_path_factory.mktemp("members"), backend_url, module_prefix, ini)
    yield from filled(club)
