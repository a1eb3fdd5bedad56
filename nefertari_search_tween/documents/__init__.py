"""What a document is: the model behind a mirror, its fields, its format."""
