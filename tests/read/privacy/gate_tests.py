"""The tests of the gate that run on every engine: the module of each imports them all."""

from __future__ import annotations

from tests.read.privacy.test_errors import (
    test_no_error_tells_of_what_is_inside,
    test_what_quotes_a_library_is_not_shown,
)
from tests.read.privacy.test_limits import (
    test_collections_and_counts,
    test_documents_in_aggregations,
)
from tests.read.privacy.test_names import (
    test_a_hidden_field_is_one_that_does_not_exist,
    test_a_value_is_no_query,
    test_names_that_nest_deeply,
    test_plain_values_select,
    test_what_is_for_python_code_is_an_unknown_field,
)
from tests.read.privacy.test_renderers import (
    test_a_result_of_any_shape,
    test_plain_text_is_the_same_as_json,
)

__all__ = [
    "test_a_hidden_field_is_one_that_does_not_exist",
    "test_a_result_of_any_shape",
    "test_a_value_is_no_query",
    "test_collections_and_counts",
    "test_documents_in_aggregations",
    "test_names_that_nest_deeply",
    "test_no_error_tells_of_what_is_inside",
    "test_plain_text_is_the_same_as_json",
    "test_plain_values_select",
    "test_what_is_for_python_code_is_an_unknown_field",
    "test_what_quotes_a_library_is_not_shown",
]
