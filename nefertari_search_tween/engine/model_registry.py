"""The models of this engine by name, and how their relationships are stored.

A relationship is stored once, by its *owning side*: the key of the other document in a field, or
a list of keys for many to many. The other side is read from there. So the two sides can't
disagree, whatever the order of writes, and wherever a process dies between two writes.

The owning side is, in this order: the side with a ``ForeignKeyField`` to the other (in that
field, as in SQL); of one to many, the many; else the side that declares the relationship.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Optional, TypeVar

from nefertari_search_tween.documents.base_field import BaseField, declared_fields
from nefertari_search_tween.documents.fields import ForeignKeyField, Relationship
from nefertari_search_tween.exceptions import ConfigurationError

#: models by name; nefertari's engines are global as well
_models: dict[str, Any] = {}
#: grows with each model that is added
_generation = [0]
Result = TypeVar("Result")

#: What happens to a document when the one that it refers to is deleted or gets another key.
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
    :param is_owning: this side stores the keys.
    :param field: name of the owning side's field with the keys.
    :param is_list: that field is a list.
    :param target: the other side's model.
    :param back: name of the relationship field there, None if it is one-sided.
    :param ondelete: what happens to the owning document when the other one is deleted.
    :param onupdate: what happens to it when the other's key changes.
    :param parent_rule: what happens to *the other* when the owning document is deleted, a rule
        that only nefertari_mongodb has.
    """

    model: Any
    name: str
    many: bool
    is_owning: bool
    field: str
    is_list: bool
    target: Any
    back: Optional[str]
    ondelete: str
    onupdate: str
    parent_rule: str

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
        """Return True if no two owning documents refer to the same document."""
        if self.is_list or self.back is None:
            return False
        other = self.target.fields()[self.back]
        return not self.many and not other.uselist


def cached(function: Callable[[Any], Result]) -> Callable[[Any], Result]:
    """Compute *function* of a model once, and again after another model was added."""
    cache: dict[Any, tuple[int, Result]] = {}

    @functools.wraps(function)
    def from_cache(model: Any) -> Result:
        entry = cache.get(model)
        if entry is None or entry[0] != _generation[0]:
            entry = cache[model] = (_generation[0], function(model))
        return entry[1]

    return from_cache


def add(model: Any) -> None:
    """Register *model* by its name, in place of an earlier one of that name."""
    _models[model.__name__] = model
    _generation[0] += 1


def get(name: str) -> Any:
    """Return the model called *name*.

    :raises ValueError: it does not exist.
    """
    try:
        return _models[name]
    except KeyError:
        raise ValueError(f"Model `{name}` does not exist") from None


def models() -> dict[str, Any]:
    """Return all models by name."""
    return dict(_models)


def backreferences(model: Any) -> dict[str, Relationship]:
    """Return the fields that relationships of other models add to *model*."""
    fields = {}
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
            relationship = Relationship(**params)
            relationship.name = back
            fields[back] = relationship
    return fields


@cached
def links(model: Any) -> dict[str, Link]:
    """Return the relationships of *model* by field name."""
    return {
        name: _link(model, name, field)
        for name, field in model.fields().items()
        if isinstance(field, Relationship)
    }


@cached
def inbound_links(model: Any) -> list[Link]:
    """Return the owning sides of all relationships that store keys of *model*."""
    inbound = []
    for other in list(_models.values()):
        inbound += [
            link for link in other.links().values() if link.is_owning and link.target is model
        ]
        inbound += [link for link in bare_foreign_keys(other) if link.target is model]
    # A one-sided list whose keys the other side stores has no relationship field there.
    inbound += [
        replace(
            link,
            model=link.target,
            name="",
            many=False,
            is_owning=True,
            is_list=False,
            target=model,
            back=link.name,
        )
        for link in model.links().values()
        if not link.is_owning and link.back is None
    ]
    return inbound


@cached
def bare_foreign_keys(model: Any) -> list[Link]:
    """Return the foreign keys of *model* that no relationship uses, as links without a name.

    As in SQL a document that is referred to stays, unless a rule says otherwise.
    """
    bare = []
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
                RESTRICT if rule is None else _rule_name(f"{model.__name__}.{name}", kind, rule)
                for kind in ("ondelete", "onupdate")
                for rule in [declared_fields(model)[name]._init_kwargs.get(f"ref_{kind}")]
            ]
            bare.append(
                Link(model, "", False, True, name, False, target, None, rules[0], rules[1], NULLIFY)
            )
    return bare


def _link(model: Any, name: str, field: Relationship) -> Link:
    target = get(field.document)
    params = field._init_kwargs
    back = params.get("backref_name") or params.get("back_populates")
    other = target.fields().get(back) if back is not None else None
    if back is not None and not isinstance(other, Relationship):
        raise ConfigurationError(
            f"{model.__name__}.{name}: {target.__name__} has no relationship '{back}'"
        )
    # The declaring side decides; a generated backreference has no ``backref_name``.
    first = "backref_name" in params or other is None or "backref_name" not in other._init_kwargs
    if first and other is not None and "back_populates" in params:
        # Both sides are declared and must come to the same result.
        first = (model.__name__, name) <= (target.__name__, str(back))
    other_many = bool(other.uselist) if other is not None else False
    if first:
        is_owning, keys = _find_owning_side(model, name, field, target, back, other_many)
    else:
        assert other is not None
        assert back is not None
        is_owning, keys = _find_owning_side(target, back, other, model, name, field.uselist)
        is_owning = not is_owning
    owning_side = model if is_owning else target
    key_field = owning_side.fields().get(keys)
    is_list = isinstance(key_field, Relationship) and key_field.uselist
    own, others = (field, other) if is_owning else (other, field)
    return Link(
        model,
        name,
        field.uselist,
        is_owning,
        keys,
        is_list,
        target,
        back,
        _rule(owning_side, keys, "ondelete", own, others),
        _rule(owning_side, keys, "onupdate", own, others),
        _parent_rule(key_field, others),
    )


def _find_owning_side(
    model: Any, name: str, field: Relationship, target: Any, back: Optional[str], other_many: bool
) -> tuple[bool, str]:
    """Return whether the declaring side is the owning one, and the owning side's field."""
    params = field._init_kwargs
    if not params.get("secondary"):
        theirs, ours = _foreign_keys(target, model, params), _foreign_keys(model, target, params)
        if theirs and ours and (params.get("remote_side") or not field.uselist):
            # Many to one of a model to itself, or of two models that refer to each other.
            theirs = [] if params.get("remote_side") or model is not target else theirs
        for is_owning, candidates in ((False, theirs), (True, ours)):
            if len(candidates) > 1:
                raise ConfigurationError(
                    f"{model.__name__}.{name}: which of {', '.join(candidates)} is it? Name it in "
                    "foreign_keys"
                )
            if candidates:
                return is_owning, candidates[0]
    if field.uselist and not other_many and back is not None:
        return False, back
    return True, name


def _foreign_keys(model: Any, target: Any, params: dict[str, Any]) -> list[str]:
    """Return the names of the fields of *model* that refer to *target*."""
    table = getattr(target, "__tablename__", None)
    names = []
    for name, field in declared_fields(model).items():
        if isinstance(field, ForeignKeyField):
            column = str(field._init_kwargs.get("ref_column") or "")
            by_document = field._init_kwargs.get("ref_document") == target.__name__
            if by_document or (table is not None and column.rpartition(".")[0] == table):
                names.append(name)
    foreign_keys = params.get("foreign_keys")
    if foreign_keys is not None and len(names) > 1:
        if not isinstance(foreign_keys, (list, tuple)):
            foreign_keys = str(foreign_keys).strip("[]").split(",")
        columns = {
            each.name if isinstance(each, BaseField) else str(each).strip().rpartition(".")[2]
            for each in foreign_keys
        }
        names = [name for name in names if name in columns]
    return names


def _rule(
    owner: Any, keys: str, kind: str, own: Optional[Relationship], other: Optional[Relationship]
) -> str:
    """Return the rule for the owning side: that of its foreign key, else of its relationship.

    Without one it is what SQLAlchemy does: NULLIFY, unless the other side's cascade says delete.
    """
    key_field = owner.fields().get(keys)
    if isinstance(key_field, ForeignKeyField):
        rule = key_field._init_kwargs.get(f"ref_{kind}")
    else:
        rule = own._init_kwargs.get(kind) if own is not None else None
    if rule is None and kind == "ondelete" and other is not None:
        cascade = str(other._init_kwargs.get("cascade") or "")
        if {each.strip() for each in cascade.split(",")} & {"all", "delete", "delete-orphan"}:
            rule = CASCADE
    if rule is None and kind == "onupdate":
        # As in SQL a key that is referred to can't change, unless a rule says otherwise.
        return RESTRICT if isinstance(key_field, ForeignKeyField) else CASCADE
    if rule is None:
        return NULLIFY
    return _rule_name(f"{owner.__name__}.{keys}", kind, rule)


def _parent_rule(key_field: Optional[BaseField], other: Optional[Relationship]) -> str:
    """Return nefertari_mongodb's rule of the inverse side; a foreign key takes precedence."""
    if other is None or isinstance(key_field, ForeignKeyField):
        return NULLIFY
    rule = other._init_kwargs.get("ondelete")
    return NULLIFY if rule is None else _rule_name(other.name, "ondelete", rule)


def _rule_name(where: str, kind: str, rule: Any) -> str:
    try:
        return _RULES[str(rule).upper()]
    except KeyError:
        raise ConfigurationError(
            f"{where}: {kind} = {rule}: must be one of {', '.join(sorted(_RULES))}"
        ) from None
