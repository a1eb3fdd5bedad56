"""The schema of models and the names of the engine module."""

from __future__ import annotations

from nefertari import engine

from tests.engine.contract.world import case


@case
def exported_names(w):
    return sorted(engine.engines[0].__all__)


@case
def document_classes(w):
    classes = engine.get_document_classes()
    library = {
        name
        for name, model in classes.items()
        if model.__module__ == "tests.apps.any_engine.models"
    }
    return [sorted(library), engine.get_document_cls("Book") is w.Book]


@case
def a_document_class_that_is_none(w):
    try:
        return str(engine.get_document_cls("Nothing"))
    except ValueError:
        return "ValueError"


@case
def relationship_fields(w):
    names = ("author", "chapters", "title", "author_code", "nothing")
    return [
        [engine.is_relationship_field(name, w.Book) for name in names],
        [engine.get_relationship_cls(name, w.Book).__name__ for name in ("author", "chapters")],
        engine.get_relationship_cls("books", w.Author) is w.Book,
    ]


@case
def primary_keys(w):
    return [w.Book.pk_field(), w.Book(code="a").pk_field()]


@case
def fields_that_there_are(w):
    return [w.Book.has_field(name) for name in ("title", "author", "chapters", "nothing")]


@case
def fields_to_query(w):
    return sorted(w.Card.fields_to_query())


@case
def init_arguments_of_a_field(w):
    params = w.Book.get_field_params("title")
    return [
        params["required"],
        params["max_length"],
        w.Book.get_field_params("nothing"),
        w.Author.get_field_params("books")["document"],
        sorted(w.Book.get_field_params("genre")["choices"]),
    ]


@case
def null_values(w):
    return [w.Card.get_null_values(), w.Author.get_null_values()]


@case
def unique_fields(w):
    return w.do(lambda: len(list(w.Card(code="a").unique_fields())))


@case
def index_enabled(w):
    return [w.Book._index_enabled, isinstance(w.Book, engine.ESMetaclass)]


@case
def mapped_fields(w):
    (name,) = w.Card.get_es_mapping()
    mapped = w.Card.get_es_mapping()[name]["properties"]
    return [name, [field in mapped for field in ("code", "email", "visits", "_pk", "nothing")]]


@case
def a_type(w):
    return [w.Card(code="a")._type, w.do(lambda: w.Card(code="a", email="b").save().to_dict())]


@case
def allowed_fields(w):
    return [
        w.do(lambda: w.Card.check_fields_allowed(["code", "email__in", "_limit"])),
        w.do(lambda: w.Card.check_fields_allowed(["code", "nothing"])),
        w.do(lambda: w.Card.filter_fields({"code": 1, "nothing": 2, "visits__in": 3})),
    ]


@case
def a_keyword_that_is_no_field(w):
    return w.do(lambda: w.Card(code="a", nothing=1))
