"""Tests of what every backend must do, to run against your own.

A subclass defines a fixture ``backend`` (of class scope or wider), and ``connect`` if there is a
server that can be unreachable::

    class TestMine(BackendConformance):
        @pytest.fixture(scope="class")
        @classmethod
        def backend(cls, tmp_path_factory):
            return MyBackend(tmp_path_factory.mktemp("mirrors"))

The cases use only indices whose names begin with ``conformance-`` and delete them afterwards.
"""

import pkgutil

import pytest

# pytest shows the values of failed assertions in modules other than tests only if registered.
pytest.register_assert_rewrite(
    *(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
)

from nefertari_search_tween.backends.conformance.suite import BackendConformance  # noqa: E402

__all__ = ["BackendConformance"]
