"""Models with visibility rules, nested in each other.

Members come after their related models, which nefertari_mongodb needs to create a relationship.
"""

from __future__ import annotations

from nefertari import engine as eng
from nefertari.authentication.models import AuthUserMixin
from nefertari.engine import ESBaseDocument


class Profile(ESBaseDocument):
    """One of a member, and nested in it; the member is nested in its profile, too."""

    __tablename__ = "members_profiles"
    _public_fields = ["city"]
    _auth_fields = ["city", "phone", "member"]
    _hidden_fields = []
    _nested_relationships = ("member",)

    id = eng.IdField(primary_key=True)
    city = eng.UnicodeField()
    phone = eng.UnicodeField()
    ssn = eng.StringField()
    income = eng.FloatField()
    member_name = eng.ForeignKeyField(
        ref_document="Member", ref_column="members_users.username", ref_column_type=eng.StringField
    )


class Badge(ESBaseDocument):
    """Of members; the relationship itself is hidden."""

    __tablename__ = "members_badges"
    _public_fields = ["label"]
    _auth_fields = ["label"]
    _nested_relationships = ()

    id = eng.IdField(primary_key=True)
    label = eng.UnicodeField()
    member_name = eng.ForeignKeyField(
        ref_document="Member", ref_column="members_users.username", ref_column_type=eng.StringField
    )


class Story(ESBaseDocument):
    """Nests its author, who nests a profile."""

    __tablename__ = "members_stories"
    _public_fields = ["id", "title", "author"]
    _auth_fields = ["id", "title", "author", "body", "rating", "note"]
    _hidden_fields = ["note"]
    _nested_relationships = ("author",)
    _nesting_depth = 2

    id = eng.IdField(primary_key=True)
    title = eng.UnicodeField()
    body = eng.UnicodeTextField()
    rating = eng.IntegerField()
    note = eng.UnicodeTextField()
    rank = eng.IntegerField()
    price = eng.FloatField()
    due = eng.DateTimeField()
    flagged = eng.BooleanField()
    marks = eng.ListField(item_type=eng.StringField)
    shelf = eng.StringField()
    author_name = eng.ForeignKeyField(
        ref_document="Member", ref_column="members_users.username", ref_column_type=eng.StringField
    )


class Member(AuthUserMixin, ESBaseDocument):
    """Who may log in. What is in no list is for admins."""

    __tablename__ = "members_users"
    _public_fields = ["username", "nick", "stories"]
    _auth_fields = ["username", "nick", "motto", "age", "profile", "stories", "diary", "password"]
    _hidden_fields = ["diary", "password"]
    _nested_relationships = ("profile", "badges")

    nick = eng.UnicodeField()
    motto = eng.UnicodeTextField()
    age = eng.IntegerField()
    diary = eng.UnicodeTextField()
    salary = eng.IntegerField()
    profile = eng.Relationship(document="Profile", uselist=False, backref_name="member")
    stories = eng.Relationship(document="Story", backref_name="author")
    badges = eng.Relationship(document="Badge", backref_name="member")


class Draft(ESBaseDocument):
    """Renders itself, with a key that is no field."""

    __tablename__ = "members_drafts"
    _public_fields = ["title", "shouted"]
    _auth_fields = ["title", "shouted"]

    id = eng.IdField(primary_key=True)
    title = eng.UnicodeField()
    plot = eng.UnicodeTextField()

    def to_dict(self, **kwargs):
        data = super().to_dict(**kwargs)
        data["shouted"] = f"{self.title}!"
        data["whispered"] = f"({self.plot})"
        return data


def includeme(config):
    """The models are there by their import."""
