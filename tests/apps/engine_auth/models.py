"""Users, their stories, and comments on them."""

from __future__ import annotations

import datetime

from nefertari import engine as eng
from nefertari.authentication.models import AuthUserMixin, crypt
from nefertari.engine import BaseDocument, ESBaseDocument


class User(AuthUserMixin, BaseDocument):
    __tablename__ = "users"
    _auth_fields = ["username", "email", "groups", "stories"]
    _public_fields = ["username"]
    _hidden_fields = ["password"]

    stories = eng.Relationship(document="Story", backref_name="owner", backref_ondelete="CASCADE")


class Story(ESBaseDocument):
    __tablename__ = "stories"
    _auth_fields = ["id", "name", "text", "likes", "tags", "created", "updated", "owner"]
    _auth_fields += ["comments", "state", "rating"]
    _public_fields = ["id", "name"]
    _nested_relationships = ["owner"]

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField(required=True, min_length=2, max_length=80)
    slug = eng.StringField(unique=True)
    text = eng.UnicodeTextField()
    likes = eng.IntegerField(default=0, min_value=0)
    rating = eng.FloatField()
    state = eng.ChoiceField(choices=["draft", "out"], default="draft")
    tags = eng.ListField(item_type=eng.StringField)
    created = eng.DateTimeField(default=datetime.datetime.utcnow)
    updated = eng.DateTimeField(onupdate=datetime.datetime.utcnow)
    comments = eng.Relationship(
        document="Comment", backref_name="story", backref_ondelete="CASCADE"
    )


class Comment(ESBaseDocument):
    __tablename__ = "comments"
    _auth_fields = ["id", "text", "story"]

    id = eng.IdField(primary_key=True)
    text = eng.UnicodeTextField(required=True)


def make_admin():
    """The first user; again and again at each start."""
    User.get_or_create(
        username="admin",
        defaults={
            "email": "admin@x.org",
            "password": str(crypt.encode("secret")),
            "groups": ["admin"],
        },
    )
