"""Every form of query that the query layer writes, each with the films that it finds."""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.backends.conformance.corpus import ALL

Query = dict[str, Any]

MILLIS = {"format": "epoch_millis"}
YEAR_2001 = {"gte": 978_307_200_000, "lt": 1_009_843_200_000, **MILLIS}
JULY_18_2008 = 1_216_339_200_000


def term(field: str, value: Any) -> Query:
    return {"term": {field: {"value": value}}}


def words(field: str, text: str, **options: Any) -> Query:
    return {"match_phrase": {field: {"query": text, **options}}}


def fuzzy(field: str, text: str, fuzziness: Any) -> Query:
    options = {"query": text, "fuzziness": fuzziness, "operator": "and"}
    return {"match": {field: options}}


def pattern(field: str, text: str) -> Query:
    return {"wildcard": {field: {"value": text, "case_insensitive": True}}}


def expression(field: str, text: str) -> Query:
    return {"regexp": {field: {"value": text, "case_insensitive": True}}}


def nested(path: str, query: Query) -> Query:
    return {"nested": {"path": path, "query": query, "score_mode": "max"}}


def exists(field: str) -> Query:
    return {"exists": {"field": field}}


def every(**clauses: Any) -> Query:
    return {"bool": clauses}


KNIGHT = words("title", "knight")
DARK = words("title", "dark")

EXACT: list[tuple[Query, set[str]]] = [
    ({"match_all": {}}, ALL),
    ({"match_none": {}}, set()),
    # term: keyword, long, double, boolean, date
    ({"term": {"title.keyword": "The Dark Knight"}}, {"2"}),
    ({"term": {"title.keyword": "the dark knight"}}, set()),
    ({"term": {"title.keyword": "dark knight"}}, {"11"}),
    ({"term": {"title.keyword": ""}}, {"9"}),
    (term("title.keyword", "千と千尋の神隠し"), {"7"}),
    (term("genres.keyword", "family"), {"1", "3"}),
    ({"term": {"country": "United States"}}, {"2", "3", "4", "5"}),
    ({"term": {"year": 2001}}, {"1", "6", "7"}),
    (term("year", -5), {"10"}),
    (term("year", 2001.0), {"1", "6", "7"}),
    ({"term": {"rating": 8.6}}, {"1", "11"}),
    (term("rating", 9), {"2"}),
    (term("rating", 8.61), set()),
    ({"term": {"seen": True}}, {"1", "2", "5", "7", "12"}),
    (term("seen", False), {"3", "6", "9"}),
    ({"term": {"_exact.released": 995_587_200_000_001}}, {"1"}),
    ({"term": {"_exact.released": 995_587_200_000_000}}, set()),
    (term("length", "02:05:00"), {"1"}),
    ({"term": {"_type": "Film"}}, ALL),
    ({"term": {"_inexact": "title"}}, {"10"}),
    # terms
    ({"terms": {"_inexact": ["*", "title"]}}, {"10"}),
    ({"terms": {"year": [1982, 2012, 1]}}, {"3", "11"}),
    ({"terms": {"title.keyword": ["", "Amélie", "amélie"]}}, {"9", "6"}),
    ({"terms": {"seen": [True, False]}}, ALL - {"4", "8", "10", "11"}),
    ({"terms": {"year": []}}, set()),
    # exists
    (exists("year"), ALL - {"9"}),
    (exists("rating"), ALL - {"7"}),
    (exists("seen"), ALL - {"4", "8", "10", "11"}),
    # The empty text has no word, but it is there.
    (exists("title"), ALL - {"10"}),
    (exists("title.keyword"), ALL - {"10"}),
    (exists("released"), {"1", "2", "3", "4", "6", "12"}),
    (exists("genres"), {"1", "2", "3", "4", "5", "6", "12"}),
    (exists("_exact.released"), {"1", "2"}),
    (exists("no_such_field"), set()),
    (nested("directors", exists("directors.name")), {"1", "2", "3", "7"}),
    # range
    ({"range": {"year": {"gte": 2008}}}, {"2", "4", "11", "12"}),
    ({"range": {"year": {"gt": 2008}}}, {"4", "11"}),
    ({"range": {"year": {"lt": 1982}}}, {"10"}),
    ({"range": {"year": {"lte": 1982}}}, {"3", "10"}),
    ({"range": {"year": {"gt": 1982, "lt": 2002}}}, {"1", "6", "7"}),
    ({"range": {"year": {"gte": 2003, "lte": 2001}}}, set()),
    ({"range": {"year": {"gte": -(2**63) + 1, "lt": 2**63 - 1}}}, ALL - {"9"}),
    ({"range": {"rating": {"gte": 8.6}}}, {"1", "2", "11"}),
    ({"range": {"rating": {"gt": 8.4, "lte": 8.6}}}, {"1", "11"}),
    ({"range": {"rating": {"gte": -0.0, "lte": 0.0}}}, {"9", "10"}),
    ({"range": {"title.keyword": {"gte": "Spider-Man", "lt": "The Dark L"}}}, {"1", "2", "3", "5"}),
    ({"range": {"title.keyword": {"gt": "dark knight"}}}, {"7", "8"}),
    ({"range": {"country": {"lte": "France"}}}, {"6", "9"}),
    ({"range": {"released": YEAR_2001}}, {"1", "6"}),
    (
        {"range": {"released": {"gte": JULY_18_2008, "lt": JULY_18_2008 + 86_400_000, **MILLIS}}},
        {"2"},
    ),
    ({"range": {"released": {"lt": 409_000_000_000, **MILLIS}}}, {"3"}),
    (
        {"range": {"released": {"gte": 1_214_524_800_500, "lt": 1_214_524_800_501, **MILLIS}}},
        {"12"},
    ),
    ({"range": {"released": {"gte": "2008-07-18", "lte": "2008-07-18"}}}, {"2"}),
    ({"range": {"released": {"gte": "2010"}}}, {"4"}),
    ({"range": {"length": {"gte": "02:00:00", "lt": "02:32:00"}}}, {"1"}),
    ({"range": {"_exact.released": {"gt": 995_587_200_000_000}}}, {"1", "2"}),
    # what the exact reads write
    (every(must_not=[exists("title.keyword")]), {"10"}),
    (
        every(
            should=[
                every(filter=[{"term": {"year": 2001}}, {"term": {"country": "Japan"}}]),
                {"terms": {"_inexact": ["*", "title"]}},
            ],
            minimum_should_match=1,
        ),
        {"1", "7", "10"},
    ),
    (every(must_not=[{"term": {"_inexact": "*"}}]), ALL),
]

TEXTS: list[tuple[Query, set[str]]] = [
    # words and phrases
    (KNIGHT, {"2", "4", "11"}),
    (words("title", "KNIGHT"), {"2", "4", "11"}),
    (words("title", "dark knight"), {"2", "11"}),
    (words("title", "knight dark"), set()),
    (words("title", "The Knight"), set()),
    (words("title", "The Knight", slop=1), {"2"}),
    (words("plot", "batman joker", slop=1), set()),
    (words("plot", "batman joker", slop=2), {"2"}),
    (words("title", "knight dark", slop=2), {"2", "11"}),
    (words("title", "knight dark", slop=1), set()),
    (words("title", "the the"), set()),
    (words("title", "spider-man"), {"5"}),
    (words("title", "spider man"), {"5"}),
    (words("title", "spiderman"), set()),
    (words("title", "man"), {"5"}),
    (words("title", "!!!"), set()),
    (words("plot", "can't"), {"12"}),
    (words("plot", "cant"), set()),
    (words("plot", "2,805"), {"12"}),
    (words("plot", "805"), set()),
    (words("plot", "earth 2,805"), {"12"}),
    (words("genres", "action"), {"2", "4", "5"}),
    (words("genres", "action drama"), set()),
    # other alphabets: no accents are folded, every ideograph is a word
    (words("title", "amélie"), {"6"}),
    (words("title", "AMÉLIE"), {"6"}),
    (words("title", "amelie"), set()),
    (words("title", "ДОЗОР"), {"8"}),
    (words("title", "ночной дозор"), {"8"}),
    (words("title", "千"), {"7"}),
    (words("title", "千尋"), {"7"}),
    (words("title", "尋千"), set()),
    (words("title", "の神隠し"), {"7"}),
    (words("title", "wall·e"), {"12"}),
    (words("title", "wall"), set()),
    # words near a word
    (fuzzy("title", "knigth", "AUTO"), {"2", "4", "11"}),
    (fuzzy("title", "knigt", "AUTO"), {"2", "4", "11"}),
    (fuzzy("title", "knigt", 0), set()),
    (fuzzy("title", "knight", 0), {"2", "4", "11"}),
    (fuzzy("title", "knoght", 1), {"2", "4", "11"}),
    (fuzzy("title", "knoghd", 1), set()),
    (fuzzy("title", "knoghd", 2), {"2", "4", "11"}),
    (fuzzy("title", "drak", "AUTO"), {"2", "3", "11"}),
    (fuzzy("title", "dy", "AUTO"), set()),
    (fuzzy("title", "amelie", "AUTO"), {"6"}),
    (fuzzy("title", "spyder-man", "AUTO"), {"5"}),
    (fuzzy("title", "spyder-day", "AUTO"), set()),
    ({"match": {"title": {"query": "dark crystal", "operator": "and"}}}, {"3"}),
    ({"match": {"title": {"query": "dark crystal"}}}, {"2", "3", "11"}),
    ({"match": {"title": "crystal away"}}, {"1", "3"}),
    # patterns
    (pattern("title", "kn*"), {"2", "4", "11"}),
    (pattern("title", "KN*"), {"2", "4", "11"}),
    (pattern("title", "?night"), {"2", "4", "11"}),
    (pattern("title", "knigh"), set()),
    (pattern("title", "*"), ALL - {"9", "10"}),
    (pattern("title", "s*d*"), {"1", "5"}),
    (pattern("title", "dark knight"), set()),
    (pattern("title", "am?lie"), {"6"}),
    (pattern("title", "ноч*"), {"8"}),
    (pattern("country", "united*"), {"2", "3", "4", "5"}),
    (pattern("country", "*A*"), {"1", "6", "7", "8", "2", "3", "4", "5"}),
    (pattern("title.keyword", "the ????*"), {"2", "3"}),
    (pattern("title.keyword", "wall\\*e"), set()),
    (expression("title", "kn[a-i]ght"), {"2", "4", "11"}),
    (expression("title", "nigh"), set()),
    (expression("title", "d(ark|ay)"), {"2", "3", "4", "11"}),
    (expression("title", "sp.*"), {"1", "5"}),
    (expression("country", "united s.+"), {"2", "3", "4", "5"}),
    (expression("country", "[fj].*"), {"1", "6", "7"}),
]

JOINED: list[tuple[Query, set[str]]] = [
    (every(must=[KNIGHT, DARK]), {"2", "11"}),
    (every(must=[KNIGHT], must_not=[DARK]), {"4"}),
    (
        every(should=[KNIGHT, words("title", "crystal")], minimum_should_match=1),
        {"2", "3", "4", "11"},
    ),
    (every(should=[KNIGHT, DARK], minimum_should_match=2), {"2", "11"}),
    (every(should=[KNIGHT, DARK]), {"2", "3", "4", "11"}),
    (every(should=[KNIGHT], must=[{"term": {"year": 2008}}]), {"2", "12"}),
    (every(should=[KNIGHT], filter=[{"term": {"year": 2008}}]), {"2", "12"}),
    (
        every(should=[KNIGHT], filter=[{"term": {"year": 2008}}], minimum_should_match=1),
        {"2"},
    ),
    (every(filter=[KNIGHT], must_not=[{"term": {"seen": True}}]), {"4", "11"}),
    (every(must_not=[KNIGHT, DARK]), ALL - {"2", "3", "4", "11"}),
    (every(), ALL),
    (every(must={"match_all": {}}, filter={"term": {"year": 2001}}), {"1", "6", "7"}),
    (every(must=[every(must_not=[every(must_not=[KNIGHT])])]), {"2", "4", "11"}),
    (every(must=[KNIGHT], boost=3.5), {"2", "4", "11"}),
    (every(must=[{"match_none": {}}, KNIGHT]), set()),
    (every(should=[{"match_none": {}}, KNIGHT], minimum_should_match=1), {"2", "4", "11"}),
    ({"dis_max": {"queries": [KNIGHT, words("plot", "knight")]}}, {"2", "4", "11"}),
    ({"dis_max": {"queries": [words("title", "boy"), words("plot", "boy")]}}, {"5"}),
    ({"dis_max": {"queries": [{"match_none": {}}]}}, set()),
]

NESTED: list[tuple[Query, set[str]]] = [
    (nested("directors", words("directors.name", "miyazaki")), {"1", "7"}),
    (nested("directors", term("directors.name.keyword", "Jim Henson")), {"3"}),
    (nested("directors", term("directors.born", 1944)), {"3"}),
    (nested("directors", {"range": {"directors.born": {"lt": 1941}}}), {"3"}),
    (nested("directors", pattern("directors.name", "chris*")), {"2"}),
    (nested("directors", {"match_none": {}}), set()),
    # one and the same director
    (
        nested(
            "directors",
            every(must=[words("directors.name", "henson"), term("directors.born", 1936)]),
        ),
        {"3"},
    ),
    (
        nested(
            "directors",
            every(must=[words("directors.name", "henson"), term("directors.born", 1944)]),
        ),
        set(),
    ),
    # not a director, and no director at all
    (
        every(must_not=[nested("directors", words("directors.name", "henson"))]),
        ALL - {"3"},
    ),
    (
        nested("directors", every(must_not=[words("directors.name", "henson")])),
        {"1", "2", "3", "7"},
    ),
    (
        every(must_not=[nested("directors", exists("directors.name"))]),
        ALL - {"1", "2", "3", "7"},
    ),
    # outside a nested query its fields are nowhere
    (words("directors.name", "miyazaki"), set()),
    (exists("directors.born"), set()),
    # two levels: by the full path, and by each level in its turn
    (nested("directors.awards", words("directors.awards.name", "oscar")), {"1", "3", "7"}),
    (nested("directors.awards", term("directors.awards.year", 2002)), {"1", "7"}),
    (
        nested(
            "directors.awards",
            every(
                must=[
                    words("directors.awards.name", "oscar"),
                    term("directors.awards.year", 2002),
                ]
            ),
        ),
        set(),
    ),
    (
        nested(
            "directors",
            every(
                must=[
                    words("directors.name", "henson"),
                    nested("directors.awards", words("directors.awards.name", "hugo")),
                ]
            ),
        ),
        {"3"},
    ),
    (
        nested(
            "directors",
            every(
                must=[
                    words("directors.name", "henson"),
                    nested("directors.awards", words("directors.awards.name", "oscar")),
                ]
            ),
        ),
        set(),
    ),
    (
        every(
            should=[
                {
                    "dis_max": {
                        "queries": [KNIGHT, nested("directors", term("directors.born", 1936))]
                    }
                },
                nested("directors.awards", words("directors.awards.name", "golden bear")),
            ],
            minimum_should_match=1,
        ),
        {"1", "2", "3", "4", "7", "11"},
    ),
]

MALFORMED: list[Query] = [
    {"no_such_query": {}},
    {"term": {"year": "not a number"}},
    {"range": {"year": {"gte": "x"}}},
    {"range": {"released": {"gte": "no date"}}},
    {"range": {"year": {"no_such_bound": 1}}},
    {"term": {"seen": "neither"}},
    {"bool": {"no_such_clause": []}},
    {"regexp": {"title": {"value": "a(b"}}},
    {"nested": {"path": "title", "query": {"match_all": {}}}},
    {"nested": {"path": "directors"}},
    {"match": {"title": {"query": "a", "operator": "no_such_operator"}}},
    {"term": {}},
]
