"""What the text of a table says of its columns is what SQLite does with them."""

from __future__ import annotations

import sqlite3

import pytest

from nefertari_search_tween.primary.sqla.proof.sqlite_ddl import affinity, collations


@pytest.mark.parametrize(
    "definition",
    [
        "a TEXT, b TEXT COLLATE NOCASE",
        "a TEXT COLLATE BINARY, b TEXT collate 'nocase' NOT NULL",
        'a TEXT DEFAULT \'COLLATE NOCASE\', "b" VARCHAR(10, 2) UNIQUE COLLATE "NoCase"',
        "[a] TEXT CHECK (a <> 'x' COLLATE NOCASE), `b` TEXT -- COLLATE BINARY,\n COLLATE nocase",
        "b TEXT COLLATE RTRIM, a TEXT /* , b */ DEFAULT (')' || '('), UNIQUE (a COLLATE NOCASE)",
        "a TEXT CONSTRAINT c COLLATE NOCASE, b TEXT, CONSTRAINT u UNIQUE (b)",
        'a TEXT, "b c" TEXT COLLATE NOCASE, "COLLATE" TEXT, b TEXT',
        "a TEXT REFERENCES t (a) ON DELETE SET NULL COLLATE NOCASE, b TEXT AS (a) COLLATE RTRIM",
    ],
)
def test_collations_are_those_that_sqlite_uses(definition: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE t ({definition}) ")
    connection.execute("ALTER TABLE t ADD COLUMN added TEXT COLLATE NOCASE")
    (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 't'").fetchone()
    collated = collations(sql)
    assert collated is not None
    for (name,) in connection.execute("SELECT name FROM pragma_table_info('t')").fetchall():
        # The order of an index has the column's collation, which its pragma says.
        connection.execute(f'CREATE INDEX "i_{name}" ON t ("{name}")')
        row = connection.execute(f'PRAGMA index_xinfo("i_{name}")').fetchone()
        assert collated.get(name.upper(), "BINARY") == row[4].upper(), name


@pytest.mark.parametrize("sql", ["", "CREATE VIRTUAL TABLE t USING fts5(a)", "CREATE VIEW t AS x"])
def test_of_what_is_no_table_nothing_is_known(sql: str) -> None:
    assert collations(sql) is None


@pytest.mark.parametrize(
    "declared",
    [
        *("INTEGER", "BIGINT", "VARCHAR(20)", "TEXT", "CLOB", "BLOB", "", "REAL", "FLOAT"),
        *("DOUBLE PRECISION", "NUMERIC(10, 2)", "DECIMAL", "BOOLEAN", "DATETIME", "DATE", "STRING"),
        *("CHARINT", "FLOATING POINT", "TIME", "NATIVE CHARACTER(70)"),
    ],
)
def test_the_affinity_is_that_which_sqlite_applies(declared: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE t (a {declared})")
    stored = []
    for value in ("7", 7, "7.5"):
        connection.execute("DELETE FROM t")
        connection.execute("INSERT INTO t VALUES (?)", (value,))
        stored.append(connection.execute("SELECT typeof(a) FROM t").fetchone()[0])
    expected = {
        "INTEGER": ["integer", "integer", "real"],
        "NUMERIC": ["integer", "integer", "real"],
        "REAL": ["real", "real", "real"],
        "TEXT": ["text", "text", "text"],
        "BLOB": ["text", "integer", "text"],
    }
    assert stored == expected[affinity(declared)]
