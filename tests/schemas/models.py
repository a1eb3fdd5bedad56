"""Random models as Python text: relationships of all forms, and foreign keys without any."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional

HEADER = """\
from nefertari import engine as eng
from pyramid_sqlalchemy import BaseObject, metadata
from sqlalchemy import (
    Boolean, Column, ForeignKey, ForeignKeyConstraint, Integer, String, Table, UniqueConstraint,
    func, select,
)
from sqlalchemy.orm import column_property, relationship
"""
RULES = (None, None, "CASCADE", "CASCADE", "SET NULL", "SET NULL", "SET DEFAULT", "RESTRICT")
MIRRORED = "eng.ESBaseDocument"
DOCUMENT = "eng.BaseDocument"
PLAIN = "BaseObject"


@dataclass
class Block:
    """A class, or a table without one.

    :param base: of the class; empty for a table.
    :param fixed: lines that it can't be without.
    :param members: lines that shrinking may leave out.
    :param relationships: of a document, which may be nested.
    :param after: lines after all classes.
    :param table: its own, or that of its base.
    """

    name: str
    base: str
    fixed: list[str]
    members: list[str] = field(default_factory=list)
    relationships: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)
    depth: int = 1
    key: str = "id"
    integer_key: bool = True
    unique: Optional[str] = None
    composite: bool = False
    rank: str = "position"
    after: list[str] = field(default_factory=list)

    table: str = ""

    def __post_init__(self) -> None:
        self.table = self.table or self.name.lower()

    @property
    def is_document(self) -> bool:
        """Return True if documents may have relationships to it."""
        return self.base not in ("", PLAIN)

    def text(self) -> str:
        if not self.base:
            columns = ", ".join([*self.fixed, *self.members])
            return f'Table("{self.table}", metadata, {columns})'
        lines = [*self.fixed, *self.members]
        if self.base in (MIRRORED, DOCUMENT):
            nested = tuple(self.nested)
            lines += [f"_nested_relationships = {nested!r}", f"_nesting_depth = {self.depth}"]
        return "\n    ".join([f"class {self.name}({self.base}):", *lines])


@dataclass(frozen=True)
class Schema:
    """Models and tables in the order of their definition."""

    blocks: tuple[Block, ...]

    @property
    def source(self) -> str:
        last = [line for block in self.blocks for line in block.after]
        return "\n\n".join([HEADER, *(block.text() for block in self.blocks), *last]) + "\n"

    def smaller(self) -> Iterator[Schema]:
        """Yield schemas that lack one part of this one; not all of them are valid."""
        for at, block in enumerate(self.blocks):
            yield Schema((*self.blocks[:at], *self.blocks[at + 1 :]))
            for name in ("members", "nested", "after"):
                lines = getattr(block, name)
                for line in lines:
                    rest = [each for each in lines if each is not line]
                    changed = replace(block, **{name: rest})
                    yield Schema((*self.blocks[:at], changed, *self.blocks[at + 1 :]))


def random_schema(dice: random.Random) -> Schema:
    return _Generator(dice).schema()


class _Generator:
    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.blocks: list[Block] = []
        self.count = 0

    def schema(self) -> Schema:
        for name in "ABCDE"[: self.dice.choice([2, 2, 2, 3, 3, 4, 5])]:
            self._add_model(name)
        if self.dice.random() < 0.3:
            self._add_hierarchy()
        for _ in range(self.dice.randint(2, 6)):
            (add,) = self.dice.choices(
                [self._foreign_key, self._many_to_many, self._composite], [4, 2, 1]
            )
            add()
        if self.dice.random() < 0.1:
            self._computed()
        for block in self.blocks:
            if block.is_document:
                names = block.relationships
                block.nested = [name for name in names if self.dice.random() < 0.35]
                block.depth = self.dice.choice([1, 1, 2, 3])
        return Schema(tuple(self.blocks))

    def _chance(self, share: float) -> bool:
        return self.dice.random() < share

    def _number(self) -> int:
        self.count += 1
        return self.count

    # Models

    def _add_model(self, name: str) -> None:
        first = not any(block.base == MIRRORED for block in self.blocks)
        kinds = [MIRRORED] if first else [MIRRORED] * 4 + [DOCUMENT] * 3 + [PLAIN, ""]
        block = Block(name, self.dice.choice(kinds), [])
        if not block.base:
            block.fixed.append('Column("id", Integer, primary_key=True)')
            block.members.append('Column("position", Integer)')
            self.blocks.append(block)
            return
        block.fixed.append(f'__tablename__ = "{block.table}"')
        self._add_columns(block)
        self.blocks.append(block)

    def _add_columns(self, block: Block) -> None:
        if self._chance(0.2):
            block.key, block.integer_key = "code", False
            block.fixed.append("code = Column(String(50), primary_key=True)")
        elif block.is_document:
            block.fixed.append("id = eng.IdField(primary_key=True)")
        else:
            block.fixed.append("id = Column(Integer, primary_key=True)")
        block.members.append("name = Column(String(50))")
        if self._chance(0.15):
            block.rank = "rank"
            block.members.append('rank = Column("rank_no", Integer)')
        else:
            block.members.append("position = Column(Integer)")
        block.members.append("gone = Column(Boolean)")
        if self._chance(0.3):
            block.unique = "number"
            block.members.append("number = Column(Integer, unique=True)")
        if self._chance(0.2):
            block.composite = True
            block.members += ["part = Column(Integer)", "side = Column(Integer)"]
            block.members.append(
                f'__table_args__ = (UniqueConstraint("part", "side", name="uq_{block.table}"),)'
            )

    def _add_hierarchy(self) -> None:
        """A base with a class in its table, or one in a table of its own."""
        base = Block("S", DOCUMENT, ['__tablename__ = "s"', "id = eng.IdField(primary_key=True)"])
        base.fixed.append("kind = Column(String(10))")
        base.fixed.append('__mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "s"}')
        base.members += ["name = Column(String(50))", "position = Column(Integer)"]
        base.members.append("gone = Column(Boolean)")
        sub = Block("S1", "S", ['__mapper_args__ = {"polymorphic_identity": "s1"}'])
        if self._chance(0.5):
            rule = self._rule("ondelete")
            sub.fixed.append('__tablename__ = "s1"')
            sub.fixed.append(f'id = Column(Integer, ForeignKey("s.id"{rule}), primary_key=True)')
        else:
            sub.table = "s"
        sub.members.append("extra = Column(Integer)")
        self.blocks += [base, sub]

    # Edges

    def _rule(self, name: str) -> str:
        rule = self.dice.choice(RULES)
        return "" if rule is None else f', {name}="{rule}"'

    def _rules(self) -> str:
        return self._rule("ondelete") + self._rule("onupdate")

    def _pair(self) -> tuple[Block, Block]:
        """A parent, and a child that is defined after it; or one model as both."""
        # A table of links has no key of its own.
        candidates = [
            block for block in self.blocks if block.base or not block.name.startswith("L")
        ]
        if len(candidates) < 2 or self._chance(0.12):
            same = self.dice.choice(candidates)
            return same, same
        first, second = sorted(self.dice.sample(range(len(candidates)), 2))
        parent, child = candidates[first], candidates[second]
        return (parent, parent) if parent.name == child.base else (parent, child)

    def _foreign_key(self) -> None:
        parent, child = self._pair()
        number = self._number()
        column = f"{parent.table}{number}_id"
        target, integer = parent.key, parent.integer_key
        if parent.unique and self._chance(0.4):
            target, integer = parent.unique, True
        form = self.dice.choice(["both", "both", "list", "list", "list", "single", "none"])
        single_target = form == "list" and self._chance(0.1)
        unique = ", unique=True" if single_target else ""
        kind = "Integer" if integer else "String(50)"
        required = ", nullable=False" if self._chance(0.1) else ""
        key = f'ForeignKey("{parent.table}.{target}"{self._rules()})'
        if not child.base:
            child.members.append(f'Column("{column}", {kind}, {key}{unique}{required})')
            return
        child.members.append(f"{column} = Column({kind}, {key}{unique}{required})")
        if form == "none":
            return
        if form == "single" or not child.is_document:
            self._single(parent, child, column, target, number)
        elif parent.is_document:
            self._list(parent, child, column, target, number, form, single_target)

    def _single(self, parent: Block, child: Block, column: str, target: str, number: int) -> None:
        """A many-to-one relationship that the parent knows nothing of."""
        if not parent.base or (child.is_document and not parent.is_document):
            return
        name = f"{parent.table}{number}"
        remote = f', remote_side="{parent.name}.{target}"' if parent is child else ""
        join = f', primaryjoin="{parent.name}.{target} == {child.name}.{column}"'
        if parent is child:
            join += f', foreign_keys="{child.name}.{column}"'
        if child.is_document:
            line = f'eng.Relationship(document="{parent.name}", uselist=False{join}{remote})'
            child.relationships.append(name)
        else:
            line = f'relationship("{parent.name}"{join}{remote})'
        child.members.append(f"{name} = {line}")

    def _list(
        self,
        parent: Block,
        child: Block,
        column: str,
        target: str,
        number: int,
        form: str,
        single_target: bool,
    ) -> None:
        name = f"{child.table}{number}s"
        pairs = [f"{parent.name}.{target} == {child.name}.{column}"]
        options = [f'foreign_keys="{child.name}.{column}"']
        viewed = self._chance(0.1)
        derivable = not self._chance(0.07)
        if not derivable:
            viewed, form = True, "list"
            condition = f"func.length({child.name}.name) > 1"
            text = f"text('{child.table}.position IS NOT NULL')"
            plain = child.rank == "position" and child.name != "S1"
            pairs.append(self.dice.choice([condition, text if plain else condition]))
        elif self._chance(0.25):
            form = "list"
            pairs.append(self._condition(child))
        if viewed:
            form = "list"
            options.append("viewonly=True")
        joined = pairs[0] if len(pairs) == 1 else f"and_({', '.join(pairs)})"
        options.append(f'primaryjoin="{joined}"')
        if single_target:
            options.append("uselist=False")
        elif self._chance(0.5):
            options.append(f'order_by="{self._order(child)}"')
        if not viewed:
            if self._chance(0.3):
                options.append(f"passive_deletes={self.dice.choice(['True', repr('all')])}")
            elif self._chance(0.3):
                cascade = self.dice.choice(["all, delete-orphan", "save-update, delete"])
                options.append(f'cascade="{cascade}"')
        if form == "both":
            back = f"{parent.table}{number}"
            options.append(f'backref_name="{back}"')
            child.relationships.append(back)
            if parent is child:
                options.append(f'backref_remote_side="{parent.name}.{target}"')
        parent.relationships.append(name)
        extra = ", ".join(options)
        parent.members.append(f'{name} = eng.Relationship(document="{child.name}", {extra})')

    def _condition(self, block: Block) -> str:
        rank = f"{block.name}.{block.rank}"
        return self.dice.choice(
            [
                f"{block.name}.gone == False",
                f"{block.name}.name == 'b'",
                f"{rank} > 1",
                f"or_({rank} == None, not_({block.name}.gone))",
                f"{block.name}.name.in_(['a', 'c'])",
            ]
        )

    def _order(self, block: Block) -> str:
        if self._chance(0.05):
            return f"(func.lower({block.name}.name), {block.name}.{block.key})"
        by = self.dice.choice(["name", block.rank, f"{block.rank}.desc()", "gone"])
        return f"({block.name}.{by}, {block.name}.{block.key})"

    def _many_to_many(self) -> None:
        documents = [block for block in self.blocks if block.is_document]
        one, other = self.dice.choice(documents), self.dice.choice(documents)
        number = self._number()
        by_model = self._chance(0.5)
        link = Block(f"L{number}", "", [])
        ends = []
        for end, block in (("one", one), ("other", other)):
            kind = "Integer" if block.integer_key else "String(50)"
            ends.append((f"{end}_id", f'{kind}, ForeignKey("{block.table}.{block.key}"'))
        if by_model:
            link.base = self.dice.choice([MIRRORED, DOCUMENT, DOCUMENT, PLAIN])
            link.fixed = [
                f'__tablename__ = "{link.table}"',
                "id = Column(Integer, primary_key=True)",
            ]
            link.fixed += [f"{name} = Column({key}{self._rules()}))" for name, key in ends]
            link.members = ["position = Column(Integer)", "gone = Column(Boolean)"]
            link.members.append("name = Column(String(50))")
            self._ends_of_link(link, (one, other), number)
        else:
            unique = self._chance(0.7)
            more = ", primary_key=True" if unique else ""
            link.fixed = [f'Column("{name}", {key}{self._rules()}){more})' for name, key in ends]
            link.members = ['Column("position", Integer)', 'Column("gone", Boolean)']
        at = max(self.blocks.index(one), self.blocks.index(other)) + 1
        self.blocks.insert(at, link)
        self._through(link, one, other, number)

    def _ends_of_link(self, link: Block, ends: Sequence[Block], number: int) -> None:
        """Relationships between the association that is a model, and what it associates."""
        for end, block in zip(("one", "other"), ends):
            if self._chance(0.4) and link.is_document:
                line = (
                    f'eng.Relationship(document="{block.name}", uselist=False, '
                    f'primaryjoin="{block.name}.{block.key} == {link.name}.{end}_id", '
                    f'foreign_keys="{link.name}.{end}_id")'
                )
                link.relationships.append(end)
                link.members.append(f"{end} = {line}")
            if self._chance(0.3) and link.is_document:
                name = f"links{number}_{end}"
                order = f', order_by="{self._order(link)}"' if self._chance(0.5) else ""
                block.relationships.append(name)
                block.members.append(
                    f'{name} = eng.Relationship(document="{link.name}", '
                    f'foreign_keys="{link.name}.{end}_id", '
                    f'primaryjoin="{block.name}.{block.key} == {link.name}.{end}_id"{order})'
                )

    def _through(self, link: Block, one: Block, other: Block, number: int) -> None:
        columns = f"{link.table}.c"
        first = f"{one.name}.{one.key} == {columns}.one_id"
        second = f"{other.name}.{other.key} == {columns}.other_id"
        options = [f'secondary="{link.table}"']
        derivable = True
        if self._chance(0.2):
            second = f"and_({second}, {self._condition(other)})"
            derivable = False
        if self._chance(0.2):
            first = f"and_({first}, {columns}.gone == False)"
            derivable = False
        options += [f'primaryjoin="{first}"', f'secondaryjoin="{second}"']
        if self._chance(0.5):
            tie = f"{other.name}.{other.key}"
            by = self.dice.choice([f"{columns}.position", f"{other.name}.name"])
            options.append(f'order_by="({by}, {tie})"')
        if not derivable or self._chance(0.2):
            options.append("viewonly=True")
        elif self._chance(0.4):
            back = f"{one.table}{number}s_back"
            options += [f'backref_name="{back}"', "backref_uselist=True"]
            other.relationships.append(back)
        name = f"{other.table}{number}s"
        one.relationships.append(name)
        extra = ", ".join(options)
        one.members.append(f'{name} = eng.Relationship(document="{other.name}", {extra})')

    def _composite(self) -> None:
        """A foreign key of two columns, to a unique key of two."""
        parents = [block for block in self.blocks if block.composite]
        if not parents:
            self._foreign_key()
            return
        parent = self.dice.choice(parents)
        after = self.blocks[self.blocks.index(parent) :]
        children = [
            block
            for block in after
            if block.base
            and block.name != "S1"
            and not block.composite
            and not any("__table_args__" in line for line in block.members)
        ]
        if not children:
            return
        child = self.dice.choice(children)
        number = self._number()
        part, side = f"part{number}", f"side{number}"
        child.members += [f"{part} = Column(Integer)", f"{side} = Column(Integer)"]
        child.members.append(
            f'__table_args__ = (ForeignKeyConstraint(["{part}", "{side}"], '
            f'["{parent.table}.part", "{parent.table}.side"]{self._rules()}),)'
        )
        if not (parent.is_document and child.is_document):
            return
        join = (
            f'primaryjoin="and_({parent.name}.part == {child.name}.{part}, '
            f'{parent.name}.side == {child.name}.{side})", '
            f'foreign_keys="[{child.name}.{part}, {child.name}.{side}]"'
        )
        name = f"{child.table}{number}s"
        back = ""
        if self._chance(0.5):
            back = f', backref_name="{parent.table}{number}"'
            child.relationships.append(f"{parent.table}{number}")
        parent.relationships.append(name)
        parent.members.append(f'{name} = eng.Relationship(document="{child.name}", {join}{back})')

    def _computed(self) -> None:
        mirrored = [block for block in self.blocks if block.base == MIRRORED]
        block, other = self.dice.choice(mirrored), self.dice.choice(self.blocks)
        if not other.base or other.name == "S1":
            return
        block.after.append(
            f"{block.name}.total = column_property("
            f"select([func.count({other.name}.{other.key})]).as_scalar())"
        )
