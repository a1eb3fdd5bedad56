"""What the two databases of a pair differ in: something that a caller may not see."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st

from tests.privacy.content import OBJECTS, OWNERS, entry, key_of, values_of
from tests.privacy.served import Collection, ModelShape, Shape, State

#: of an object that is hidden from everybody who asks
NOBODY = "nobody"
NEW_OBJECT = 40


@dataclass(frozen=True)
class Caller:
    """Who asks.

    :param principals: the user's name and groups, joined by commas; '' for anonymous callers.
    """

    principals: str

    @property
    def name(self) -> str:
        return self.principals.partition(",")[0]

    @property
    def is_admin(self) -> bool:
        return "g:admin" in self.principals


@dataclass(frozen=True)
class Target:
    """Where a caller asks: a collection, its placeholders filled."""

    collection: Collection
    parents: tuple[tuple[str, str], ...] = ()

    def narrowing(self, caller: Caller) -> dict[str, str]:
        """Field and value of all objects that there are."""
        values = {"caller": caller.name, **dict(self.parents)}
        return {
            name: template.format(**values) for name, template in self.collection.narrowing.items()
        }


@dataclass(frozen=True)
class Difference:
    """Two states that look the same to a caller in some targets.

    :param kind: of what differs.
    :param about: what differs, for people.
    :param reads_only: a write may tell it: what it selects from is not what is read.
    :param scores_differ: the number of documents differs, and with it how rare a word is, which
        docs/privacy.rst says.
    :param items_too: single objects look the same, too.
    :param focus: model and name of the field that differs.
    :param pages_only: what a filter or another order finds may differ.
    """

    kind: str
    about: str
    caller: Caller
    targets: list[Target]
    states: tuple[State, State]
    reads_only: bool = False
    scores_differ: bool = False
    items_too: bool = False
    focus: tuple[str, str] = ("", "")
    pages_only: bool = False


def differences(shape: Shape, base: State, callers: list[Caller]) -> st.SearchStrategy[Difference]:
    """Draw what the databases differ in, starting from *base*.

    :param callers: who asks; admins see everything, so nothing is hidden from them.
    """
    drawn = _Drawn(shape, base)
    asking = [each for each in callers if not each.is_admin]
    kinds = []
    for caller in asking:
        hidden = list(drawn.hidden_fields(caller))
        if hidden:
            kinds.append(drawn.values(caller, hidden))
        guarded = [name for name, model in shape.models.items() if model.has_acl]
        if guarded:
            kinds.append(drawn.guarded_objects(caller, guarded))
        narrowed = [each for each in shape.collections if each.narrowing]
        if narrowed:
            kinds.append(drawn.narrowed_objects(caller, narrowed))
        if not caller.name and shape.public_limit < OBJECTS:
            kinds.append(drawn.objects_past_the_limit(caller))
    return st.one_of(kinds)


class _Drawn:
    def __init__(self, shape: Shape, base: State) -> None:
        self.shape = shape
        self.base = base
        # What decides which objects a target has is no value like others.
        self.deciding = {
            (model, name)
            for each in shape.collections
            for model in each.models
            for name in each.narrowing
        }

    def hidden_fields(self, caller: Caller) -> Iterator[tuple[str, str]]:
        for model_name, model in self.shape.models.items():
            visible = model.visible(bool(caller.name))
            for name in self.contents(model):
                if name not in visible and (model_name, name) not in self.deciding:
                    yield model_name, name

    @staticmethod
    def contents(model: ModelShape) -> list[str]:
        """Fields with values of their own."""
        return [
            name for name, each in model.fields.items() if each.stored and not each.is_reference
        ]

    def targets(self, collections: list[Collection]) -> list[Target]:
        """*collections*, those below an object for some of them."""
        result = []
        for each in collections:
            if not each.parents:
                result.append(Target(each))
                continue
            for owner in (*OWNERS[:2], "ann OR bob", "*", "NOT ann"):
                result.append(Target(each, tuple((name, owner) for name in each.parents)))
        return result

    def values(
        self, caller: Caller, hidden: list[tuple[str, str]]
    ) -> st.SearchStrategy[Difference]:
        """One hidden field of some objects."""

        @st.composite
        def draw_values(draw: Any) -> Difference:
            model, name = draw(st.sampled_from(hidden))
            count = draw(st.sampled_from([1, 1, 2, len(self.base[model])]))
            keys = draw(
                st.lists(
                    st.sampled_from(sorted(self.base[model], key=str)),
                    min_size=count,
                    max_size=count,
                    unique=True,
                )
            )
            one, other = copy.deepcopy(self.base), copy.deepcopy(self.base)
            for key in keys:
                values = values_of(self.shape, model, name, key)
                pair = draw(_two_of(values, self.base[model][key].get(name)))
                one[model][key][name], other[model][key][name] = pair
            about = f"{model}.{name} of {', '.join(map(str, keys))}: {pair[0]!r} or {pair[1]!r}"
            # Whoever may name a field may filter by it, whatever is rendered.
            by_rendering = name in self.shape.models[model].by_rendering
            return Difference(
                "value",
                about,
                caller,
                self.targets(self.shape.collections),
                (_part(one, model), _part(other, model)),
                reads_only=by_rendering,
                items_too=True,
                focus=(model, name),
                pages_only=by_rendering,
            )

        return draw_values()

    def guarded_objects(self, caller: Caller, models: list[str]) -> st.SearchStrategy[Difference]:
        """An object whose ACL does not let the caller view it."""

        @st.composite
        def draw_object(draw: Any) -> Difference:
            model = draw(st.sampled_from(models))
            # In a nested document the first entry decides, in a collection any that denies.
            denied = [entry("everyone", "all", "deny"), entry("everyone", "view")]
            # (Of an object that is created without one, nefertari-guards makes its model's.)
            acls = [[entry(NOBODY)], denied]
            deciding = {"_acl": (draw(st.sampled_from(acls)), draw(st.sampled_from(acls)))}
            targets = self.targets([each for each in self.shape.collections if not each.narrowing])
            return self.hidden_object(draw, caller, model, deciding, targets, False)

        return draw_object()

    def narrowed_objects(
        self, caller: Caller, collections: list[Collection]
    ) -> st.SearchStrategy[Difference]:
        """An object that a view leaves out."""

        @st.composite
        def draw_object(draw: Any) -> Difference:
            target = draw(st.sampled_from(self.targets(collections)))
            (model,) = target.collection.models
            deciding = {}
            for name, value in target.narrowing(caller).items():
                field = self.shape.models[model].fields[name]
                values = (
                    sorted(self.base[field.model], key=str)
                    if field.is_reference
                    else values_of(self.shape, model, name)
                )
                others = [each for each in values if each is not None and str(each) != value]
                hidden = draw(st.sampled_from(others))
                deciding[name] = (hidden, hidden)
            reads_only = not target.collection.narrows_writes
            return self.hidden_object(draw, caller, model, deciding, [target], reads_only)

        return draw_object()

    def objects_past_the_limit(self, caller: Caller) -> st.SearchStrategy[Difference]:
        """One more object than anonymous callers may see, the last one by its key."""
        plain = [each for each in self.shape.collections if not each.parents and not each.narrowing]
        targets = self.targets(plain)

        def difference(model: str) -> Difference:
            fine = [each for each in targets if each.collection.models == (model,)]
            drawn = self.new_object(model)
            return Difference(
                "object past the limit",
                f"{model} {NEW_OBJECT}: there or not",
                caller,
                fine,
                drawn,
                reads_only=True,
                scores_differ=True,
                pages_only=True,
            )

        models = sorted({each.collection.models[0] for each in targets})
        return st.sampled_from(models).map(difference)

    def new_object(
        self, model: str, deciding: Mapping[str, tuple[Any, Any]] = MappingProxyType({})
    ) -> tuple[State, State]:
        """States with and without an object; related objects would show its key, so it has none."""
        model_shape = self.shape.models[model]
        key = key_of(model_shape, NEW_OBJECT, self.shape.object_ids)
        values: dict[str, Any] = {
            name: None if each.is_reference else values_of(self.shape, model, name, key)[0]
            for name, each in model_shape.fields.items()
            if each.stored
        }
        if model_shape.has_acl:
            values["_acl"] = [entry("everyone")]
        values.update({name: pair[0] for name, pair in deciding.items()})
        one, other = _part(self.base, model), _part(self.base, model)
        return {model: {**one[model], key: values}}, other

    def hidden_object(
        self,
        draw: Any,
        caller: Caller,
        model: str,
        deciding: dict[str, tuple[Any, Any]],
        targets: list[Target],
        reads_only: bool,
    ) -> Difference:
        """An object that is there or not, or with other contents.

        :param draw: of a composite strategy.
        :param deciding: field -> its values in both databases, by which it is hidden.
        """
        model_shape = self.shape.models[model]
        is_new = draw(st.booleans())
        if is_new:
            key: Any = NEW_OBJECT
            states = self.new_object(model, deciding)
            varies = "there or not"
        else:
            key = draw(st.sampled_from(sorted(self.base[model], key=str)))
            one, other = copy.deepcopy(self.base), copy.deepcopy(self.base)
            for name in self.contents(model_shape):
                values = values_of(self.shape, model, name, key)
                pair = draw(_two_of(values, self.base[model][key].get(name)))
                one[model][key][name], other[model][key][name] = pair
            for name, pair in deciding.items():
                one[model][key][name], other[model][key][name] = pair
            states = _part(one, model), _part(other, model)
            varies = "its contents"
        by = ", ".join(f"{name}={pair}" for name, pair in deciding.items())
        about = f"{model} {key} ({by}): {varies}"
        return Difference(
            f"{'guarded' if '_acl' in deciding else 'narrowed'} object",
            about,
            caller,
            targets,
            states,
            reads_only,
            scores_differ=True,
        )


def _two_of(values: list[Any], now: Any) -> st.SearchStrategy[tuple[Any, Any]]:
    """Two different values, and both are not that of now if there are so many: what was written
    may move the row, so both databases write it."""
    others = [each for each in values if each != now]
    some = others if len(others) > 1 else values
    return st.permutations(range(len(some))).map(lambda order: (some[order[0]], some[order[1]]))


def _part(state: State, model: str) -> State:
    return {model: state[model]}
