"""Small schemas and statements, each for a kind of dependency: what they change is a document.

``python -m tests.schemas.cases sqlite|postgresql [NAME ...]`` runs them, each in a process of its
own, and prints what came of it as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.schemas.models import HEADER


@dataclass(frozen=True)
class Case:
    """Models, statements that store something, and statements that change documents.

    :param text: of the models, beside HEADER.
    :param sync: the setting.
    """

    text: str
    setup: Sequence[str]
    change: Sequence[str]
    sync: str = "inline"

    @property
    def source(self) -> str:
        return HEADER + self.text


def _class(name: str, lines: str, base: str = "eng.ESBaseDocument") -> str:
    fixed = [f'__tablename__ = "{name.lower()}"', "id = eng.IdField(primary_key=True)"]
    body = "\n    ".join([*fixed, *lines.strip().splitlines()])
    return f"\n\nclass {name}({base}):\n    {body}\n"


def _added(*objects: str) -> list[str]:
    """Statements that store *objects*, in this order."""
    added = [each for item in objects for each in (f"s.add(M.{item})", "s.flush()")]
    return ["begin('scoped')", *added, "commit()"]


def _by_path(model: str, key: int, column: str, value: object) -> Iterator[tuple[str, list[str]]]:
    """Yield each write path with the statements that set *column* of one row by it."""
    table = f"T['{model.lower()}']"
    update = f"{table}.update().where({table}.c.id == {key}).values({column}={value!r})"
    many = f"{table}.update().where({table}.c.id == bindparam('key')).values({column}={value!r})"
    query = f"s.query(M.{model}).filter(M.{model}.id == {key})"
    row = f"{{'id': {key}, {column!r}: {value!r}}}"
    statements = {
        "flush": f"get(M.{model}, {key}).{column} = {value!r}",
        "query_update": f"{query}.update({{{column!r}: {value!r}}}, synchronize_session=False)",
        "bulk_update": f"s.bulk_update_mappings(M.{model}, [{row}])",
        "bulk_save": f"s.bulk_save_objects([changed({query}.one(), {column!r}, {value!r})])",
        "session_execute": f"s.execute({update})",
        "execute_many": f"s.execute({many}, [{{'key': {key}}}])",
        "session_connection": f"s.connection().execute({update})",
    }
    for name, statement in statements.items():
        yield name, ["begin('scoped')", statement, "commit()"]
    yield "own_session", ["begin('own')", statements["flush"], "commit()"]
    yield "connection", ["begin('connection')", f"c.execute({update})", "commit()"]
    yield "engine", [f"engine.execute({update})"]


# A list's order or membership depends on other columns than its keys.

_FOREIGN = 'a_id = Column(Integer, ForeignKey("a.id"))'
_CHILD = f"""
{_FOREIGN}
position = Column(Integer)
gone = Column(Boolean)
"""
_LINK = (
    '\n\nTable("l", metadata, Column("a_id", Integer, ForeignKey("a.id"), primary_key=True), '
    'Column("b_id", Integer, ForeignKey("b.id"), primary_key=True), Column("position", Integer), '
    'Column("gone", Boolean))\n'
)
_JOINED = 'secondary="l", primaryjoin="A.id == l.c.a_id", secondaryjoin="B.id == l.c.b_id"'
_TWO = _added("A(id=1)", "B(id=1, a_id=1, position=1, gone=False)") + _added(
    "B(id=2, a_id=1, position=2, gone=False)"
)
_LINKED = [
    *_added("A(id=1)", "B(id=1, position=1, gone=False)", "B(id=2, position=2, gone=False)"),
    "begin('scoped')",
    "s.execute(T['l'].insert(), [{'a_id': 1, 'b_id': each, 'position': each, 'gone': False}"
    " for each in (1, 2)])",
    "commit()",
]


def _lists() -> Iterator[tuple[str, Case]]:
    ordered = 'bs = eng.Relationship(document="B", order_by="(B.position, B.id)")'
    conditional = (
        'bs = eng.Relationship(document="B", '
        'primaryjoin="and_(A.id == B.a_id, B.gone == False)", foreign_keys="B.a_id")'
    )
    of_links = f'bs = eng.Relationship(document="B", {_JOINED}, order_by="(B.position, B.id)")'
    conditions = {"order": (ordered, "position", 9), "condition": (conditional, "gone", True)}
    for name, (line, column, value) in conditions.items():
        for base in ("eng.ESBaseDocument", "eng.BaseDocument"):
            text = _class("A", line) + _class("B", _CHILD, base)
            mirrored = "mirrored" if base == "eng.ESBaseDocument" else "unmirrored"
            for path, change in _by_path("B", 1, column, value):
                yield f"list-{name}-{mirrored}-{path}", Case(text, _TWO, change)
    text = _class("A", of_links) + _class("B", _CHILD, "eng.BaseDocument") + _LINK
    for path, change in _by_path("B", 1, "position", 9):
        yield f"list-order_of_targets-{path}", Case(text, _LINKED, change)
    for name, extra, values in (
        ("order_of_links", f'{_JOINED}, order_by="(l.c.position, B.id)"', "position=9"),
        (
            "condition_of_links",
            'secondary="l", primaryjoin="and_(A.id == l.c.a_id, l.c.gone == False)", '
            'secondaryjoin="B.id == l.c.b_id", viewonly=True',
            "gone=True",
        ),
    ):
        line = f'bs = eng.Relationship(document="B", {extra})'
        text = _class("A", line) + _class("B", _CHILD) + _LINK
        update = f"T['l'].update().where(T['l'].c.b_id == 1).values({values})"
        change = ["begin('scoped')", f"s.execute({update})", "commit()"]
        yield f"list-{name}", Case(text, _LINKED, change)
    # Nested: two levels, through a model that is not mirrored.
    text = (
        _class("C", 'aa = eng.Relationship(document="A")\n_nested_relationships = ("aa",)')
        + _class(
            "A",
            f'{ordered}\nc_id = Column(Integer, ForeignKey("c.id"))',
            "eng.BaseDocument",
        )
        + _class("B", _CHILD, "eng.BaseDocument")
    )
    setup = _added("C(id=1)", "A(id=1, c_id=1)", "B(id=1, a_id=1, position=1)")
    setup += _added("B(id=2, a_id=1, position=2)")
    for path, change in _by_path("B", 1, "position", 9):
        yield f"list-nested_unmirrored-{path}", Case(text, setup, change)


# Rows that the unit of work or the database changes by itself.


def _by_itself() -> Iterator[tuple[str, Case]]:
    deletes = {
        "flush": "s.delete(get(M.A, 1))",
        "query": "s.query(M.A).filter(M.A.id == 1).delete(synchronize_session=False)",
        "session_execute": "s.execute(T['a'].delete().where(T['a'].c.id == 1))",
    }
    changes = {
        "flush": "get(M.A, 1).id = 7",
        "query": "s.query(M.A).filter(M.A.id == 1).update({'id': 7}, synchronize_session=False)",
        "session_execute": "s.execute(T['a'].update().where(T['a'].c.id == 1).values(id=7))",
    }
    for rule in ("CASCADE", "SET NULL", "SET DEFAULT"):
        key = f'Column(Integer, ForeignKey("a.id", ondelete="{rule}", onupdate="CASCADE"))'
        for base in ("eng.ESBaseDocument", "eng.BaseDocument"):
            # No relationship stands for the foreign key; B's owner lists it by another one.
            text = (
                _class("A", "name = Column(String(50))", base)
                + _class("O", 'bs = eng.Relationship(document="B")')
                + _class("B", f'a_id = {key}\no_id = Column(Integer, ForeignKey("o.id"))')
            )
            setup = _added("A(id=1)", "O(id=1)", "B(id=1, a_id=1, o_id=1)")
            kind = "mirrored" if base == "eng.ESBaseDocument" else "unmirrored"
            for path, statement in deletes.items():
                change = ["begin('scoped')", statement, "commit()"]
                name = f"itself-delete-{rule.replace(' ', '_')}-{kind}-{path}"
                yield name, Case(text, setup, change)
            if rule == "CASCADE":
                for path, statement in changes.items():
                    change = ["begin('scoped')", statement, "commit()"]
                    yield f"itself-key-{kind}-{path}", Case(text, setup, change)
    passive = _class("A", 'bs = eng.Relationship(document="B", passive_deletes="all")') + _class(
        "B", 'a_id = Column(Integer, ForeignKey("a.id", ondelete="SET NULL"))'
    )
    for path, statement in deletes.items():
        change = ["begin('scoped')", statement, "commit()"]
        setup = _added("A(id=1)", "B(id=1, a_id=1)")
        yield f"itself-passive_deletes-{path}", Case(passive, setup, change)
    for rule in ("CASCADE", "SET NULL"):
        text = (
            _class("A", 'bs = eng.Relationship(document="B", cascade="all, delete-orphan")')
            + _class("B", _FOREIGN)
            + _class("C", f'b_id = Column(Integer, ForeignKey("b.id", ondelete="{rule}"))')
        )
        remove = ["begin('scoped')", "get(M.A, 1).bs.pop()", "commit()"]
        setup = _added("A(id=1)", "B(id=1, a_id=1)", "C(id=1, b_id=1)")
        yield f"itself-orphan-{rule.replace(' ', '_')}", Case(text, setup, remove)
    # A chain of keys that are foreign keys, through a table without a class.
    text = (
        _class("A", "name = Column(String(50))", "eng.BaseDocument")
        + '\n\nTable("b", metadata, Column("id", Integer, '
        'ForeignKey("a.id", onupdate="CASCADE", ondelete="CASCADE"), primary_key=True))\n'
        + _class(
            "C",
            'b_id = Column(Integer, ForeignKey("b.id", onupdate="CASCADE", ondelete="CASCADE"))',
        )
    )
    setup = [*_added("A(id=1)"), "engine.execute(T['b'].insert().values(id=1))"]
    setup += _added("C(id=1, b_id=1)")
    for path, statement in changes.items():
        yield (
            f"itself-chain_of_keys-{path}",
            Case(text, setup, ["begin('scoped')", statement, "commit()"]),
        )
    for path, statement in deletes.items():
        yield (
            f"itself-chain_of_deletes-{path}",
            Case(text, setup, ["begin('scoped')", statement, "commit()"]),
        )


# The other end is not in the session's sets.


def _other_ends() -> Iterator[tuple[str, Case]]:
    one_sided = 'bs = eng.Relationship(document="B")'
    for base in ("eng.ESBaseDocument", "eng.BaseDocument"):
        kind = "mirrored" if base == "eng.ESBaseDocument" else "unmirrored"
        text = _class("A", one_sided) + _class("B", _FOREIGN, base)
        setup = _added("A(id=1)", "A(id=2)", "B(id=1, a_id=1)")
        move = ["begin('scoped')", "get(M.A, 2).bs.append(get(M.B, 1))", "commit()"]
        yield f"other_end-append-{kind}", Case(text, setup, move)
        for path, change in _by_path("B", 1, "a_id", 2):
            yield f"other_end-foreign_key-{kind}-{path}", Case(text, setup, change)
        unique = _class("A", f"number = Column(Integer, unique=True)\n{one_sided}") + _class(
            "B", 'a_number = Column(Integer, ForeignKey("a.number"))', base
        )
        setup = _added("A(id=1, number=11)", "A(id=2, number=12)", "B(id=1, a_number=11)")
        for path, change in _by_path("B", 1, "a_number", 12):
            yield f"other_end-unique_column-{kind}-{path}", Case(unique, setup, change)
    link = 'a_id = Column(Integer, ForeignKey("a.id"))\nb_id = Column(Integer, ForeignKey("b.id"))'
    listed = f'bs = eng.Relationship(document="B", {_JOINED})'
    for base in ("eng.ESBaseDocument", "eng.BaseDocument", "BaseObject"):
        own = _class("L", link, base)
        if base == "BaseObject":
            own = own.replace("eng.IdField(primary_key=True)", "Column(Integer, primary_key=True)")
        text = _class("A", listed) + _class("B", "name = Column(String(50))") + own
        setup = _added("A(id=1)", "A(id=2)", "B(id=1)")
        kind = {"eng.ESBaseDocument": "mirrored", "eng.BaseDocument": "unmirrored"}.get(
            base, "plain"
        )
        add = ["begin('scoped')", "s.add(M.L(a_id=1, b_id=1))", "commit()"]
        yield f"other_end-association_added-{kind}", Case(text, setup, add)
        setup = [*setup, *_added("L(id=1, a_id=1, b_id=1)")]
        delete = ["begin('scoped')", "s.delete(get(M.L, 1))", "commit()"]
        yield f"other_end-association_deleted-{kind}", Case(text, setup, delete)
        for path, change in _by_path("L", 1, "a_id", 2):
            yield f"other_end-association_moved-{kind}-{path}", Case(text, setup, change)


# Write paths, of a model without relationships too.


def _paths() -> Iterator[tuple[str, Case]]:
    text = _class("A", 'name = Column(String(50))\nbs = eng.Relationship(document="B")')
    text += _class("B", f"{_FOREIGN}\nname = Column(String(50))")
    # The database gives the key 1: its sequence knows of it.
    setup = _added("A(id=1, name='a')", "B(a_id=1, name='a')")
    row = "{'id': 2, 'a_id': 1, 'name': 'b'}"
    without_key = "{'a_id': 1, 'name': 'b'}"
    inserts = {
        "bulk_insert": f"s.bulk_insert_mappings(M.B, [{row}])",
        "bulk_insert-no_key": "s.bulk_insert_mappings(M.B, [{'a_id': 1}, {'a_id': 1}])",
        "bulk_insert-defaults": "s.bulk_insert_mappings(M.B, [{'a_id': 1}], return_defaults=True)",
        "bulk_save": "s.bulk_save_objects([M.B(a_id=1), M.B(a_id=1)])",
        "insert": f"s.execute(T['b'].insert().values({row}))",
        "insert-no_key": f"s.execute(T['b'].insert().values({without_key}))",
        "insert-many": f"s.execute(T['b'].insert(), [{row}])",
        "insert-many-no_key": "s.execute(T['b'].insert(), [{'a_id': 1}, {'a_id': 1}])",
        "insert-values": "s.execute(T['b'].insert().values([{'a_id': 1}, {'a_id': 1}]))",
        "insert-select": "s.execute(T['b'].insert().from_select(['id', 'a_id'], "
        "select([T['b'].c.id + 5, T['b'].c.a_id])))",
        "insert-connection": f"s.connection().execute(T['b'].insert().values({row}))",
        "delete": "s.execute(T['b'].delete().where(T['b'].c.id == 1))",
        "delete-connection": "s.connection().execute(T['b'].delete())",
        "delete-query": "s.query(M.B).delete(synchronize_session=False)",
        "update-exists": "s.execute(T['b'].update().where(T['b'].c.a_id.in_("
        "select([T['a'].c.id]).where(T['a'].c.name == 'a'))).values(name='c'))",
    }
    for name, statement in inserts.items():
        for kind in ("scoped", "own"):
            change = [f"begin({kind!r})", statement, "commit()"]
            yield f"path-{name}-{kind}", Case(text, setup, change)
    for path, change in _by_path("A", 1, "name", "c"):
        yield f"path-update-{path}", Case(text, setup, change)
    for name in ("insert", "delete"):
        statement = inserts[name].replace("s.execute", "engine.execute")
        yield f"path-{name}-engine", Case(text, setup, [statement])


# What the session does not know.


def _unknown() -> Iterator[tuple[str, Case]]:
    text = _class("A", "name = Column(String(50))")
    setup = _added("A(id=1, name='a')")
    for executor in ("s.begin_nested()", "s.connection().begin_nested()"):
        for sync in ("inline", "worker"):
            change = [
                "begin('scoped')",
                f"p = {executor}",
                "get(M.A, 1).name = 'b'",
                "s.flush()",
                "p.rollback()",
                "s.expire_all()",
                "get(M.A, 1).name = 'c'",
                "commit()",
            ]
            kind = "connection" if "connection" in executor else "session"
            yield f"unknown-savepoint-{kind}-{sync}", Case(text, setup, change, sync)
    # What is executed on the connection itself is outside of a savepoint that is only announced.
    change = [
        "begin('own')",
        "p = s.begin_nested()",
        "c.execute(T['a'].update().where(T['a'].c.id == 1).values(name='b'))",
        "p.rollback()",
        "commit()",
    ]
    for sync in ("inline", "worker"):
        yield f"unknown-savepoint-announced-{sync}", Case(text, setup, change, sync)
    raw = "\"UPDATE a SET name = 'b' WHERE id = 1\""
    rows = "[each.name for each in M.A.secondary.get_collection()]"
    own = f"assert {rows} == ['b'], {rows}"
    for name, execute in {
        "session": "s.execute({})",
        "connection": "s.connection().execute({})",
    }.items():
        # Reported as a flush, for the mirror to follow: what is asked is what it reads before.
        change = [
            "begin('scoped')",
            execute.format(raw),
            own,
            "s.expire_all()",
            "get(M.A, 1).name = 'c'",
            "commit()",
        ]
        yield f"unknown-raw_sql-{name}", Case(text, setup, change)


# Several databases.


def _elsewhere() -> Iterator[tuple[str, Case]]:
    text = _class("A", "name = Column(String(50))")
    text += "\nfrom sqlalchemy import create_engine\nfrom sqlalchemy.orm import sessionmaker\n"
    text += 'other = create_engine("sqlite://")\nElsewhere = sessionmaker(bind=other)\n'
    create = "engine.dialect and M.A.__table__.create(M.other)"
    for name, statement in {
        "flush": "e.add(M.A(id=5))",
        "query": "e.query(M.A).delete(synchronize_session=False)",
        "bulk": "e.bulk_insert_mappings(M.A, [{'id': 5}])",
        "execute": "e.execute(T['a'].insert().values(id=5))",
    }.items():
        change = [
            "begin('scoped')",
            "e = M.Elsewhere()",
            statement,
            "e.commit()",
            "e.close()",
            "get(M.A, 1).name = 'c'",
            "commit()",
        ]
        yield f"elsewhere-{name}", Case(text, [*_added("A(id=1)"), create], change)


CASES: dict[str, Case] = dict(
    case
    for cases in (_lists, _by_itself, _other_ends, _paths, _unknown, _elsewhere)
    for case in cases()
)


def main() -> int:
    from tests.schemas.run import Setting, run
    from tests.servers import shared
    from tests.support.generated import DATABASES, import_old_stack

    primary, *names = sys.argv[1:]
    import_old_stack()
    outcomes = {}
    with shared.owned():
        for name in names or CASES:
            case = CASES[name]
            setting = Setting(DATABASES[primary], case.sync, triggers=False)
            statements = [*case.setup, *case.change]
            outcomes[name] = dataclasses.asdict(run(case, setting, statements=statements))
    print(json.dumps(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
