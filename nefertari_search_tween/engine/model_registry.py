"""The models of this engine by name, and how their relationships are kept.

A relationship is kept once, by the side called its *holder*: the key of the other document in a
field, or a list of keys for many to many. The other side is read from there. So the two sides
can't disagree, whatever is written when, and wherever a process dies between two writes.

Who holds, in this order: the side with a ``ForeignKeyField`` to the other (in that field, as in
SQL); of one to many, the many; else the side that declares the relationship.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional

from nefertari_search_tween.documents.base_field import BaseField, declared_fields
from nefertari_search_tween.documents.fields import ForeignKeyField, Relationship
from nefertari_search_tween.exceptions import ConfigurationError

#: models by name; nefertari's engines are global, too
_models: dict[str, Any] = {}
_generation = [0]

#: What becomes of a document when the one that it refers to is deleted, or gets another key.
CASCADE, RESTRICT, NULLIFY = "CASCADE", "RESTRICT", "NULLIFY"
_RULES = {
    "CASCADE": CASCADE,
    "RESTRICT": RESTRICT,
    "DENY": RESTRICT,
    "NULLIFY": NULLIFY,
    "SET NULL": NULLIFY,
    "SET_NULL": NULLIFY,
    "PULL": NULLIFY,
    "DO_NOTHING": NULLIFY,
}


@dataclass(frozen=True)
class Link:
    """A relationship, seen from one of its sides.

    :param model: this side.
    :param name: of the relationship field here.
    :param many: this side has a list.
    :param held: this side keeps the keys.
    :param field: name of the holder's field that the keys are in.
    :param several: that field is a list.
    :param target: the other side's model.
    :param back: name of the relationship field there, None for a one-sided one.
    :param ondelete: what becomes of the holder when the other document is deleted.
    :param onupdate: what becomes of it when the other's key changes.
    :param of_parent: what becomes of *the other* when the holder is deleted (nefertari_mongodb).
    """

    model: Any
    name: str
    many: bool
    is_owning: bool
    field: str
    several: bool
    target: Any
    back: Optional[str]
    ondelete: str
    onupdate: str
    of_parent: str

    @property
    def owning_side(self) -> Any:
        return self.model if self.is_owning else self.target

    def forbids(self, rule: str) -> bool:
        """Return True if no document that is referred to may be deleted or get another key.

        :param rule: ``ondelete`` or ``onupdate`` of this link.
        """
        required = bool(self.model.fields()[self.field]._init_kwargs.get("required"))
        return rule == RESTRICT or (required and rule != CASCADE)

    @property
    def one_to_one(self) -> bool:
        """True when no two holders refer to the same document."""
        if self.several or self.back is None:
            return False
        other = self.target.fields()[self.back]
        return not self.many and not other.uselist


def generation() -> int:
    """Grows whenever a model is added: what was made of all models is out of date then."""
    return _generation[0]


def add(model: Any) -> None:
    """Make *model* known by its name; one of the same name before it is forgotten."""
    _models[model.__name__] = model
    _generation[0] += 1


def get(name: str) -> Any:
    """The model called *name*.

    :raises ValueError: there is none.
    """
    try:
        return _models[name]
    except KeyError:
        raise ValueError(f"Model `{name}` does not exist") from None


def models() -> dict[str, Any]:
    """All models by name."""
    return dict(_models)


def backreferences(model: Any) -> dict[str, Relationship]:
    """The fields that relationships of other models give to *model*."""
    found = {}
    for other in _models.values():
        for name, field in declared_fields(other).items():
            if not isinstance(field, Relationship) or field.document != model.__name__:
                continue
            back = field._init_kwargs.get("backref_name")
            if back is None:
                continue
            params = {
                key[len("backref_") :]: value
                for key, value in field._init_kwargs.items()
                if key.startswith("backref_")
            }
            params.setdefault("uselist", False)
            params.update(document=other.__name__, back_populates=name, name=back)
            made = Relationship(**params)
            made.name = back
            found[back] = made
    return found


def links(model: Any) -> dict[str, Link]:
    """The relationships of *model* by field name."""
    return {
        name: _link(model, name, field)
        for name, field in model.fields().items()
        if isinstance(field, Relationship)
    }


def _remembered(function: Callable[[Any], list[Link]]) -> Callable[[Any], list[Link]]:
    """What *function* gives for a model, worked out once for all models that there are."""
    made: dict[Any, tuple[int, list[Link]]] = {}

    @functools.wraps(function)
    def remembering(model: Any) -> list[Link]:
        held = made.get(model)
        if held is None or held[0] != generation():
            held = made[model] = (generation(), function(model))
        return held[1]

    return remembering


@_remembered
def inbound_links(model: Any) -> list[Link]:
    """The held sides of all relationships whose keys are those of *model*."""
    found = []
    for other in list(_models.values()):
        found += [
            link for link in other.links().values() if link.is_owning and link.target is model
        ]
        found += [link for link in keys_alone(other) if link.target is model]
    # A one-sided list whose keys the other side holds has no field there.
    found += [
        Link(
            link.target,
            "",
            False,
            True,
            link.field,
            False,
            model,
            link.name,
            link.ondelete,
            link.onupdate,
            link.of_parent,
        )
        for link in model.links().values()
        if not link.is_owning and link.back is None
    ]
    return found


@_remembered
def keys_alone(model: Any) -> list[Link]:
    """The foreign keys of *model* that no relationship goes by, as relationships without a name.

    As in SQL: what is referred to stays, unless a rule says otherwise.
    """
    found = []
    for target in _models.values():
        for name in _foreign_keys(model, target, {}):
            ours = any(link.is_owning and link.field == name for link in model.links().values())
            theirs = any(
                link.target is model and not link.is_owning and link.field == name
                for link in target.links().values()
            )
            if ours or theirs:
                continue
            rules = [
                RESTRICT if given is None else _known(f"{model.__name__}.{name}", kind, given)
                for kind in ("ondelete", "onupdate")
                for given in [declared_fields(model)[name]._init_kwargs.get(f"ref_{kind}")]
            ]
            found.append(
                Link(model, "", False, True, name, False, target, None, rules[0], rules[1], NULLIFY)
            )
    return found


def _link(model: Any, name: str, field: Relationship) -> Link:
    target = get(field.document)
    params = field._init_kwargs
    back = params.get("backref_name") or params.get("back_populates")
    other = target.fields().get(back) if back is not None else None
    if back is not None and not isinstance(other, Relationship):
        raise ConfigurationError(
            f"{model.__name__}.{name}: {target.__name__} has no relationship '{back}'"
        )
    # The declaring side decides; a backreference has the name of no backreference.
    first = "backref_name" in params or other is None or "backref_name" not in other._init_kwargs
    if first and other is not None and "back_populates" in params:
        # Both are declared: the same answer from both sides.
        first = (model.__name__, name) <= (target.__name__, str(back))
    other_many = bool(other.uselist) if other is not None else False
    if first:
        held, keys = _holder(model, name, field, target, back, other_many)
    else:
        assert other is not None
        assert back is not None
        held, keys = _holder(target, back, other, model, name, field.uselist)
        held = not held
    holder = model if held else target
    key_field = holder.fields().get(keys)
    several = isinstance(key_field, Relationship) and key_field.uselist
    own, others = (field, other) if held else (other, field)
    return Link(
        model,
        name,
        field.uselist,
        held,
        keys,
        several,
        target,
        back,
        _rule(holder, keys, "ondelete", own, others),
        _rule(holder, keys, "onupdate", own, others),
        _parent_rule(key_field, others),
    )


def _holder(
    model: Any, name: str, field: Relationship, target: Any, back: Optional[str], other_many: bool
) -> tuple[bool, str]:
    """Whether the declaring side holds, and in which field the holder does."""
    params = field._init_kwargs
    if not params.get("secondary"):
        theirs, ours = _foreign_keys(target, model, params), _foreign_keys(model, target, params)
        if theirs and ours and (params.get("remote_side") or not field.uselist):
            # Many to one of a model to itself, or of two that refer to each other.
            theirs = [] if params.get("remote_side") or model is not target else theirs
        for held, found in ((False, theirs), (True, ours)):
            if len(found) > 1:
                raise ConfigurationError(
                    f"{model.__name__}.{name}: which of {', '.join(found)} is it? Say so by "
                    "foreign_keys"
                )
            if found:
                return held, found[0]
    if field.uselist and not other_many and back is not None:
        return False, back
    return True, name


def _foreign_keys(model: Any, target: Any, params: dict[str, Any]) -> list[str]:
    """Names of the fields of *model* that refer to *target*."""
    table = getattr(target, "__tablename__", None)
    found = []
    for name, field in declared_fields(model).items():
        if isinstance(field, ForeignKeyField):
            column = str(field._init_kwargs.get("ref_column") or "")
            named = field._init_kwargs.get("ref_document") == target.__name__
            if named or (table is not None and column.rpartition(".")[0] == table):
                found.append(name)
    chosen = params.get("foreign_keys")
    if chosen is not None and len(found) > 1:
        names = chosen if isinstance(chosen, (list, tuple)) else str(chosen).strip("[]").split(",")
        wanted = {
            each.name if isinstance(each, BaseField) else str(each).strip().rpartition(".")[2]
            for each in names
        }
        found = [name for name in found if name in wanted]
    return found


def _rule(
    holder: Any, keys: str, kind: str, own: Optional[Relationship], other: Optional[Relationship]
) -> str:
    """The rule for the holder: its foreign key's, else its relationship's own; what SQLAlchemy
    does without one, else (NULLIFY, unless the other side's cascade says delete)."""
    key_field = holder.fields().get(keys)
    if isinstance(key_field, ForeignKeyField):
        given = key_field._init_kwargs.get(f"ref_{kind}")
    else:
        given = own._init_kwargs.get(kind) if own is not None else None
    if given is None and kind == "ondelete" and other is not None:
        cascade = str(other._init_kwargs.get("cascade") or "")
        if {each.strip() for each in cascade.split(",")} & {"all", "delete", "delete-orphan"}:
            given = CASCADE
    if given is None and kind == "onupdate":
        # As in SQL: a key that is referred to stays, unless a rule says otherwise.
        return RESTRICT if isinstance(key_field, ForeignKeyField) else CASCADE
    if given is None:
        return NULLIFY
    return _known(f"{holder.__name__}.{keys}", kind, given)


def _parent_rule(key_field: Optional[BaseField], other: Optional[Relationship]) -> str:
    """nefertari_mongodb's rule on the side that does not hold; a foreign key goes before it."""
    if other is None or isinstance(key_field, ForeignKeyField):
        return NULLIFY
    given = other._init_kwargs.get("ondelete")
    return NULLIFY if given is None else _known(other.name, "ondelete", given)


def _known(where: str, kind: str, given: Any) -> str:
    try:
        return _RULES[str(given).upper()]
    except KeyError:
        raise ConfigurationError(
            f"{where}: {kind} = {given}: must be one of {', '.join(sorted(_RULES))}"
        ) from None
