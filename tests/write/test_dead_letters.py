"""Documents that can't be indexed: what is left of them, and how they get in after all."""

from __future__ import annotations

import json
import time

import pytest

from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.outbox_base import MAX_ERROR_CHARACTERS
from tests.faults.test_faults import fetch
from tests.servers.base import wait_until
from tests.support.processes import SOON, Place

LIMIT = "index.mapping.nested_objects.limit"


@pytest.fixture
def deployment(tmp_path, elasticsearch_url):
    """An index takes documents with one nested object, no more: an item with its keeper, but not
    with its label, too."""
    settings = tmp_path / "index.json"
    settings.write_text(json.dumps({LIMIT: 1}))
    deployment = Place(
        tmp_path,
        f"sqlite:///{tmp_path / 'zoo.sqlite'}",
        elasticsearch_url,
        settings_file=str(settings),
    )
    yield deployment
    for index in deployment.ask("GET", "*"):
        deployment.ask("DELETE", index[len(deployment.prefix) + 1 :])


@pytest.fixture
def refused(deployment):
    """Items 1 to 9, of which 4 and 5 are refused."""
    deployment.sql("INSERT INTO zoo_keepers (code, name) VALUES ('k', 'Ann')")
    for number in range(1, 10):
        deployment.sql(
            f"INSERT INTO zoo_items (id, name, keeper_code) VALUES ({number}, 'Lion', 'k')"
        )
    for number in (4, 5):
        deployment.sql(f"INSERT INTO zoo_labels (id, item_id) VALUES ({number}, {number})")
    deployment.record("Item", *range(1, 10))
    done = deployment.run("drain")
    assert done.returncode == 1
    assert "Item: 2 dead letters (nefertari-search dead-letters list)" in done.stdout.splitlines()
    return deployment


def mend(deployment):
    deployment.ask("PUT", "item-000001/_settings", {LIMIT: 100})


def letters(deployment, *arguments):
    done = deployment.run("dead-letters list", "--json", *arguments)
    assert done.returncode == 0
    return json.loads(done.stdout)


def indexed(deployment):
    return sorted(
        int(key)
        for key, source in deployment.documents("item").items()
        if "_rejected" not in source
    )


def test_a_refused_document_is_listed_with_its_error_and_the_others_are_mirrored(refused):
    assert indexed(refused) == [1, 2, 3, 6, 7, 8, 9]
    assert refused.waiting() == 0
    rows = letters(refused)
    assert [(each["model"], each["key"]) for each in rows] == [("Item", 4), ("Item", 5)]
    for each in rows:
        assert "nested documents" in each["error"]
        assert each["failed"].startswith(time.strftime("%Y-", time.gmtime()))
    assert [each["key"] for each in letters(refused, "--keys", "5")] == [5]
    assert letters(refused, "--models", "Tag") == []

    first, second = refused.run("dead-letters list").stdout.splitlines()
    assert first.startswith("Item 4  2")
    assert "nested documents" in second

    status = refused.run("status", "--json")
    row = json.loads(status.stdout)["Item"]
    assert (status.returncode, row["dead_letters"], row["rejected"]) == (1, 2, 2)


@pytest.mark.thorough
def test_retry_clears_a_letter_when_the_document_is_in_the_index(refused):
    still = refused.run("dead-letters retry", "--all", sync="inline")
    assert still.returncode == 1
    assert [each["key"] for each in letters(refused)] == [4, 5]

    mend(refused)
    done = refused.run("dead-letters retry", "--keys", "4", sync="inline")
    assert (done.returncode, done.stdout) == (0, "1 documents indexed\n")
    assert [each["key"] for each in letters(refused)] == [5]
    assert indexed(refused) == [1, 2, 3, 4, 6, 7, 8, 9]

    done = refused.run("dead-letters retry", "--all", "--json", sync="inline")
    assert json.loads(done.stdout) == {"indexed": 1, "remaining": {}, "dead_letters": {}}
    assert letters(refused) == []
    assert indexed(refused) == list(range(1, 10))
    assert refused.run("status", "--models", "Item").returncode == 0


@pytest.mark.thorough
def test_workers_do_what_is_retried(refused):
    mend(refused)
    done = refused.run("dead-letters retry", "--models", "Item")
    assert (done.returncode, done.stdout) == (0, "2 queued for the workers\n")
    assert len(letters(refused)) == 2
    with refused.worker():
        assert wait_until(lambda: letters(refused) == [], SOON)
    assert indexed(refused) == list(range(1, 10))


def test_a_change_that_mends_the_document_clears_its_letter(refused):
    refused.sql("DELETE FROM zoo_labels WHERE id = 4")
    refused.sql("DELETE FROM zoo_labels WHERE id = 5")
    refused.sql("DELETE FROM zoo_items WHERE id = 5")
    refused.record("Item", 4, 5)
    assert refused.run("drain").returncode == 0
    assert letters(refused) == []
    assert indexed(refused) == [1, 2, 3, 4, 6, 7, 8, 9]


@pytest.mark.thorough
def test_a_dropped_letter_is_forgotten_and_its_document_stays_out(refused):
    assert refused.run("dead-letters drop", "--keys", "4,5").stdout == "2 dropped\n"
    assert letters(refused) == []
    assert indexed(refused) == [1, 2, 3, 6, 7, 8, 9]
    # The index knows that it is not whole: transparent reads are the database's.
    with refused.web() as web:
        assert fetch(f"{web.url}/items?_limit=20")[1] == "primary; reason=inexact-values"
        assert json.loads(fetch(f"{web.url}/items?q=lion&_limit=20")[2])["total"] == 7
    row = json.loads(refused.run("status", "--json").stdout)["Item"]
    assert (row["dead_letters"], row["rejected"], row["state"]) == (0, 2, "rejected")


@pytest.mark.thorough
@pytest.mark.parametrize("command", ["retry", "drop"])
def test_what_is_not_named_is_left_alone(refused, command):
    unnamed = refused.run(f"dead-letters {command}")
    assert unnamed.returncode == 2
    assert "--all" in unnamed.stderr.splitlines()[-1]
    missing = refused.run(f"dead-letters {command}", "--keys", "4,7,8")
    assert missing.returncode == 2
    assert missing.stderr.splitlines()[-1] == "Error: there is no dead letter of 7, 8"
    assert refused.waiting() == 0
    assert len(letters(refused)) == 2


def test_objects_that_can_not_be_rendered_or_read_are_in_nobodys_way(deployment):
    """Broken pickles: reading the rows of a claim fails as a whole."""
    for number in range(1, 121):
        deployment.sql(f"INSERT INTO zoo_items (id, name) VALUES ({number}, 'Lion')")
    deployment.sql("UPDATE zoo_items SET thing = ? WHERE id IN (3, 117)", b"no pickle")
    nan = b"\x80\x04\x95\n\x00\x00\x00\x00\x00\x00\x00G\x7f\xf8\x00\x00\x00\x00\x00\x00."
    deployment.sql("UPDATE zoo_items SET thing = ? WHERE id = 50", nan)
    deployment.sql("UPDATE zoo_items SET day = 'some day' WHERE id = 60")
    # SQLite's own error: a text that is none.
    deployment.sql("UPDATE zoo_items SET story = CAST(x'ff41' AS TEXT) WHERE id = 70")
    deployment.record("Item", *range(1, 121))
    with deployment.worker() as worker:
        assert wait_until(lambda: deployment.waiting() == 0, SOON)
        assert worker.lines[-1]["errors"] == 0
    assert len(indexed(deployment)) == 115
    errors = {each["key"]: each["error"] for each in letters(deployment)}
    assert sorted(errors) == [3, 50, 60, 70, 117]
    assert "Unpickling" in errors[3] and "UTF-8" in errors[70]

    deployment.sql("UPDATE zoo_items SET thing = NULL, day = NULL, story = NULL")
    assert deployment.run("dead-letters retry", "--all", sync="inline").returncode == 0
    assert letters(deployment) == []
    assert len(indexed(deployment)) == 120


@pytest.mark.thorough
def test_an_index_that_refuses_everything_holds_up_its_own_model_only(deployment):
    deployment.ask("PUT", "tag-000001/_settings", {"index.blocks.write": True})
    deployment.sql("INSERT INTO zoo_tags (id, name) VALUES (1, 'red')")
    deployment.record("Tag", 1)
    with deployment.worker() as worker:
        assert wait_until(lambda: worker.lines[-1]["errors"] >= 2, SOON)
        deployment.add_keepers(300)
        assert wait_until(lambda: len(deployment.documents("keeper")) == 300, SOON)
        assert deployment.waiting() == 1
        assert letters(deployment) == []

        result = deployment.run("drain")
        assert result.returncode == 1
        assert "Tag: 1 rows still pending: " in result.stdout

        deployment.ask("PUT", "tag-000001/_settings", {"index.blocks.write": False})
        assert wait_until(lambda: deployment.waiting() == 0, SOON)
        first, last = worker.warnings
        assert "Tag: " in first and "Tag: indexing works again" in last


def test_an_error_of_any_length_and_any_characters_is_kept(deployment):
    from sqlalchemy import create_engine

    from nefertari_search_tween.primary.sqla.outbox.dead_letters import SqlaDeadLetters

    engine = create_engine(deployment.variables["database"])
    with engine.begin() as connection:
        texts = {1: "x" * 100_000, 2: "null \x00 and \ud800"}
        rejected = {Key("Item", pk): text for pk, text in texts.items()}
        SqlaDeadLetters(connection).replace(rejected, rejected)
    errors = {each["key"]: each["error"] for each in letters(deployment)}
    assert len(errors[1]) == MAX_ERROR_CHARACTERS + 4
    assert errors[2] == "null \\x00 and \\ud800"
