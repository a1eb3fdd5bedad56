"""What differs between the databases that models live in: schema, reads, capture."""
