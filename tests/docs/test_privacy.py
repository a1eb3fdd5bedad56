"""docs/privacy.rst: each of its examples is sent, its rules are those of the models."""

from __future__ import annotations

import ast
import re
import textwrap
from urllib.parse import quote

import pytest

from tests.apps.private_fields.contents import filled
from tests.apps.private_fields.running import Club, rules_of_models
from tests.support.paths import TOP

pytestmark = pytest.mark.slow

PAGE = (TOP / "docs" / "privacy.rst").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^ +(anonymous|ann|eve) GET (\S.*)\n +-> (\d+) ?(.*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def club(tmp_path_factory, backend_url, module_prefix):
    """The application of the examples."""
    club = Club(tmp_path_factory.mktemp("page"), backend_url, module_prefix)
    yield from filled(club)


@pytest.mark.parametrize(("caller", "path", "status", "expected"), EXAMPLES)
def test_an_example(club, caller, path, status, expected):
    answer = club.ask(quote(path, safe="/?&=,"), "" if caller == "anonymous" else caller)
    assert str(answer.status) == status, answer.text
    if status != "200":
        assert answer.json["message"] == expected
    elif expected:
        name, number = expected.split()
        assert answer.json[name] == int(number)


def test_the_page_has_examples_of_the_numbered_rules():
    assert len(EXAMPLES) >= 20
    numbers = [int(each) for each in re.findall(r"^(\d+)\. ", PAGE, re.MULTILINE)]
    assert numbers == list(range(1, 20))


def test_the_rules_on_the_page_are_those_of_the_models():
    block = re.search(r"code-block:: python\n\n((?:   .*\n|\n)+)", PAGE)[1]
    rules = rules_of_models()
    for cls in ast.parse(textwrap.dedent(block)).body:
        lists = {each.targets[0].id: ast.literal_eval(each.value) for each in cls.body}
        hidden = set(lists["_hidden_fields"])
        assert rules[cls.name].public == set(lists["_public_fields"]) - hidden
        assert rules[cls.name].auth == set(lists["_auth_fields"]) - hidden
