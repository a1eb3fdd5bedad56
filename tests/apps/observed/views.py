"""Views of things, one collection for each way to look at them or to write."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import transaction
from nefertari.view import BaseView
from pyramid_sqlalchemy import Session, metadata
from sqlalchemy import text
from sqlalchemy.orm import Query
from zope.sqlalchemy import mark_changed

from tests.apps.observed.models import Caption, OwnMaker, Rebuilt, Thing
from tests.apps.views import PlainView


def loaded() -> Any:
    return Thing.get_item(id=1)


def without_error(function: Callable[[], Any]) -> str:
    try:
        return repr(function())
    except Exception as error:  # noqa: BLE001 - what the view would see of it
        return type(error).__name__


#: what a view sees of the collection *c*; equal for a mirror's and the primary's
PROBES: dict[str, Callable[[Any], Any]] = {
    "contains": lambda c: (loaded() in c, loaded() in list(c), loaded() in c.all()),
    "identity": lambda c: loaded() is c.first(),
    "reloaded": lambda c: [each is Thing.get_item(id=each.id) for each in c],
    "types": lambda c: [type(each) is Thing for each in c],
    "instances": lambda c: [isinstance(each, Thing) for each in c],
    "query": lambda c: (isinstance(c, Query), bool(c)),
    "equality": lambda c: (loaded() == c[0], c[0] == loaded(), c[0] != c[1]),
    "hashes": lambda c: {*c, loaded()} == {*c.all()},
    "positions": lambda c: (list(c).index(loaded()), [*c].count(loaded())),
    "position": lambda c: without_error(lambda: c.index(loaded())),
    "length": lambda c: (without_error(lambda: len(c)), c.count(), len(c.all())),
    "reversed": lambda c: without_error(lambda: [each.id for each in reversed(c)]),
    "slices": lambda c: ([each.id for each in c[1:]], type(c[0]) is Thing),
    "texts": lambda c: [(str(each), f"{each}", repr(each)) for each in c],
    "sorted": lambda c: [each.id for each in sorted(c, reverse=True)],
    "shuffled": lambda c: sorted(each.id for each in random.sample(list(c), 3)),
    "attributes": lambda c: [(each.nickname, each.name, each._type) for each in c],
    "missing": lambda c: [hasattr(each, "surname") for each in c],
    "lists": lambda c: [(each.days, each.words, each.options, each.pickle) for each in c],
    "related": lambda c: [[label.name for label in each.labels] for each in c],
    "dicts": lambda c: [sorted(each.to_dict().items()) for each in c],
    "state": lambda c: [sorted(vars(each)) for each in c],
    "subquery": lambda c: [
        each.id for each in Session().query(Thing).filter(Thing.id.in_(c.with_entities(Thing.id)))
    ],
    "selected": lambda c: [each.id for each in c.from_self().filter(Thing.name == "two")],
    "session": lambda c: [each in Session() for each in c],
}


class ProbeView(BaseView):
    """Reports what it sees."""

    Model = Thing
    probe: Any = None

    def index(self, **kwargs):
        return {"report": repr(type(self).probe(self.Model.get_collection(**self._query_params)))}


class RowsView(BaseView):
    """Shows the values and types of the rows that it gets for ``_fields``."""

    Model = Thing

    def index(self, **kwargs):
        rows = self.Model.get_collection(**self._query_params)
        return {"report": repr([{**each} for each in rows]), "type": type(rows).__name__}


UPDATE = "UPDATE observed_things SET name = 'written'"


def _flush() -> None:
    for each in Session().query(Thing):
        each.name = "written"
    Session().flush()


def _change() -> None:
    for each in Session().query(Thing):
        each.name = "written"


def _cursor() -> None:
    Session().connection().connection.cursor().execute(UPDATE)


def _driver() -> None:
    Session().connection().connection.connection.cursor().execute(UPDATE)


def _raw_connection() -> None:
    connection = metadata.bind.raw_connection()
    connection.cursor().execute(UPDATE)
    connection.commit()
    connection.close()


def _commit() -> None:
    with transaction.manager:
        Session().query(Thing).update({"name": "written"}, synchronize_session=False)
        mark_changed(Session())


def _savepoint() -> None:
    with Session().begin_nested():
        _cursor()


#: how a view may write, each in its transaction or in one of its own
WRITES: dict[str, Callable[[], Any]] = {
    "flush": _flush,
    "change": _change,
    "bulk": lambda: Session().query(Thing).update({"name": "written"}, synchronize_session=False),
    "core": lambda: Session().execute(Thing.__table__.update().values(name="written")),
    "session_text": lambda: Session().execute(text(UPDATE)),
    "connection_core": lambda: (
        Session().connection().execute(Thing.__table__.update().values(name="written"))
    ),
    "connection_text": lambda: Session().connection().execute(UPDATE),
    "cursor": _cursor,
    "driver": _driver,
    "savepoint": _savepoint,
    "engine_core": lambda: metadata.bind.execute(Thing.__table__.update().values(name="written")),
    "engine_text": lambda: metadata.bind.execute(text(UPDATE).execution_options(autocommit=True)),
    "raw_connection": _raw_connection,
    "commit": _commit,
}
#: those that only their own transaction sees until the request ends
UNCOMMITTED = sorted(WRITES.keys() - {"engine_core", "engine_text", "raw_connection", "commit"})


class AfterwardsView(BaseView):
    """Writes between reading and returning."""

    Model = Thing
    write: Any = None

    def index(self, **kwargs):
        things = self.Model.get_collection(**self._query_params)
        type(self).write()
        return things


class BeforehandView(AfterwardsView):
    """Writes, then reads."""

    def index(self, **kwargs):
        type(self).write()
        return self.Model.get_collection(**self._query_params)


class ReadView(BaseView):
    """Reads other objects between reading and returning."""

    Model = Thing

    def index(self, **kwargs):
        things = self.Model.get_collection(**self._query_params)
        Caption.get_item(id=1)
        Session().execute("SELECT 1").scalar()
        return things


class OwnParamsView(BaseView):
    """Takes its parameters from the request itself, and shows what nefertari's view has."""

    Model = Thing

    def index(self, **kwargs):
        self.request.response.headers["X-Params"] = ",".join(
            sorted({*self._query_params, *self._params})
        )
        return self.Model.get_collection(**self.request.params.mixed())


class CopyView(BaseView):
    """Answers by a subrequest: a copy of its own request, sent to another collection."""

    Model = Thing
    uses_tweens = False

    def index(self, **kwargs):
        inner = self.request.copy()
        inner.path_info = "/things"
        return self.request.invoke_subrequest(inner, use_tweens=self.uses_tweens)


class TweenCopyView(CopyView):
    uses_tweens = True


def includeme(config):
    root = config.get_root_resource()
    views = {
        "thing": type("ThingsView", (PlainView,), {"Model": Thing}),
        "label": type("LabelsView", (PlainView,), {"Model": Caption}),
        "own_maker": type("OwnMakersView", (PlainView,), {"Model": OwnMaker}),
        "rebuilt": type("RebuiltsView", (PlainView,), {"Model": Rebuilt}),
        "row": RowsView,
        "read": ReadView,
        "own_param": OwnParamsView,
        "copy": CopyView,
        "tween_copy": TweenCopyView,
    }
    for name, probe in PROBES.items():
        views[f"probe_{name}_"] = type("ProbeView", (ProbeView,), {"probe": staticmethod(probe)})
    for name, write in WRITES.items():
        for base in (AfterwardsView, BeforehandView):
            prefix = base.__name__.removesuffix("View").lower()
            members = {"write": staticmethod(write)}
            views[f"{prefix}_{name}_"] = type(base.__name__, (base,), members)
    for member, view in views.items():
        root.add(member, f"{member}s", view=view, id_name="id")
