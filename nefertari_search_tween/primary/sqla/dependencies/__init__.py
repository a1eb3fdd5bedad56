"""Which documents depend on a row of any table, derived from the models and the schema."""
