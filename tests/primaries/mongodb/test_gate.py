"""Nothing passes beside the gate on MongoDB, which takes a dict as a query in its own language.

The application and the questions are those of read/privacy.
"""

from __future__ import annotations

import pytest

from tests.apps.private_fields import INI
from tests.apps.private_fields.running import Club
from tests.read.privacy.test_errors import (  # noqa: F401 - run here, too
    test_no_error_tells_of_what_is_inside,
    test_what_quotes_a_library_is_not_shown,
)
from tests.read.privacy.test_hidden_fields import filled
from tests.read.privacy.test_limits import (  # noqa: F401
    test_collections_and_counts,
    test_documents_in_aggregations,
)
from tests.read.privacy.test_names import (  # noqa: F401
    test_a_hidden_field_is_one_that_does_not_exist,
    test_a_value_is_no_query,
    test_names_that_nest_deeply,
    test_plain_values_select,
    test_what_is_for_python_code_is_an_unknown_field,
)
from tests.read.privacy.test_renderers import (  # noqa: F401
    test_a_result_of_any_shape,
    test_plain_text_is_the_same_as_json,
)
from tests.support.mongodb import ini_on_mongodb

pytestmark = [pytest.mark.mongodb, pytest.mark.thorough]


@pytest.fixture(scope="module")
def club(tmp_path_factory, backend_url, module_prefix, mongodb):
    """The application on MongoDB, filled."""
    ini = ini_on_mongodb(INI, mongodb)
    folder = tmp_path_factory.mktemp("members")
    club = Club(folder, backend_url, module_prefix, ini, tunneling="true")
    yield from filled(club)
