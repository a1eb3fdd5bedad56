"""What is known of the columns of a model, from its mapper and from the database as it is.

A mirror answers a transparent read by proof (``interfaces/field_proof.py``). The proof has two
premises and an argument:

* the **types of the model** are of an exact class whose code is known (``types.py``), so what is
  bound and what becomes of a result is known;
* the **columns of the database** are of a type whose comparison is known (``columns.py``), whatever
  the model declares: tables are also made by migrations, by hand, by another release;
* for each pair of both, why the index compares as the database does: for filters in
  ``parameters.py``, for sorts in ``order.py``.

What a type allows and the known code never stores (SQLite takes any text for a date, an interval of
PostgreSQL may have months) is looked for in each row when its document is made
(``stored_forms.py``): such a document names the field in ``_inexact``.
"""
