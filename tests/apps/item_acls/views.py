"""Views as nefertari-guards wants them, and views that know nothing of it."""

from __future__ import annotations

from datetime import datetime

from nefertari.acl import CollectionACL
from nefertari.elasticsearch import ES
from nefertari.view import BaseView
from nefertari_guards.acl import DatabaseACLMixin
from nefertari_guards.view import ACLFilterViewMixin
from pyramid.security import ALL_PERMISSIONS, Allow, Everyone

from tests.apps.item_acls.models import Author, Note, Story


class OpenACL(CollectionACL):
    """The collection is everybody's; what is in it is another question."""

    __acl__ = (
        (Allow, "g:admin", ALL_PERMISSIONS),
        (Allow, Everyone, ("view", "create", "update", "delete", "options")),
    )


class StoryACL(DatabaseACLMixin, OpenACL):
    item_model = Story


class AuthorACL(DatabaseACLMixin, OpenACL):
    item_model = Author


class AdminACL(CollectionACL):
    """For setting ACLs, whatever they are."""

    __acl__ = ((Allow, "g:admin", ALL_PERMISSIONS),)


class AdminStoryACL(AdminACL):
    item_model = Story


class AdminAuthorACL(AdminACL):
    item_model = Author


class NoteACL(OpenACL):
    item_model = Note


class PlainView(BaseView):
    """Reads its collection as nefertari's views do."""

    def index(self, **kwargs):
        return self.Model.get_collection(**self._query_params)

    def show(self, **kwargs):
        return self.Model.get_item(id=kwargs["id"])

    def create(self, **kwargs):
        return self.Model(**self._parsed_body()).save(self.request)

    def update(self, **kwargs):
        return self.show(**kwargs).update(self._parsed_body(), self.request)

    def _parsed_body(self):
        if "printed" in self._json_params:
            # SQLite takes no texts for it.
            moment = datetime.fromisoformat(self._json_params["printed"])
            self._json_params["printed"] = moment
        return self._json_params


class GuardedView(ACLFilterViewMixin, PlainView):
    """Reads the collection as in the documentation of nefertari-guards."""

    def index(self, **kwargs):
        return self.get_collection_es()

    def update_many(self, **kwargs):
        items = self.Model.filter_objects(self.get_collection_es())
        return self.Model._update_many(items, self._json_params, self.request)

    def delete_many(self, **kwargs):
        items = self.Model.filter_objects(self.get_collection_es())
        return self.Model._delete_many(items, self.request)


class FirstAuthorView(GuardedView):
    """Of what a request selects, changes the stories of one author."""

    def update_many(self, **kwargs):
        items = self.Model.filter_objects(self.get_collection_es(), author_id=1)
        return self.Model._update_many(items, self._json_params, self.request)


class QueryView(PlainView):
    """Uses its collection as a database query."""

    def index(self, **kwargs):
        objects = self.Model.get_collection(**self._query_params)
        if hasattr(objects, "from_self"):
            return objects.from_self().order_by(self.Model.id.desc())
        # MongoEngine's.
        return objects.order_by("-id")


class RawView(PlainView):
    """Searches by a query of its own, in the server's language."""

    def index(self, **kwargs):
        body = {"query": {"match_all": {}}}
        return ES("Story").get_collection(body=body, **self._query_params)


def includeme(config):
    root = config.get_root_resource()
    for member, collection, base, model, factory in (
        ("plain_story", "plain_stories", PlainView, Story, StoryACL),
        ("plain_author", "plain_authors", PlainView, Author, AuthorACL),
        ("query_story", "query_stories", QueryView, Story, StoryACL),
        ("raw_story", "raw_stories", RawView, Story, StoryACL),
        ("first_story", "first_stories", FirstAuthorView, Story, StoryACL),
        ("note", "notes", PlainView, Note, NoteACL),
        ("admin_story", "admin_stories", PlainView, Story, AdminStoryACL),
        ("admin_author", "admin_authors", PlainView, Author, AdminAuthorACL),
        # The last ones of a model are those that objects link to.
        ("story", "stories", GuardedView, Story, StoryACL),
        ("author", "authors", GuardedView, Author, AuthorACL),
    ):
        view = type(f"{collection.title()}View", (base,), {"Model": model})
        root.add(member, collection, view=view, factory=factory, id_name="id")
