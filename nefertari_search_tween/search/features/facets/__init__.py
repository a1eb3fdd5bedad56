"""Facets: how many results have each value of a field, beside the results."""
