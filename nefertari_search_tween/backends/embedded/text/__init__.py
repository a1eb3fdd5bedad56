"""Analysis, matching and scoring of text."""
