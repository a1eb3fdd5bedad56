"""Models of nefertari_sqla as primary."""
