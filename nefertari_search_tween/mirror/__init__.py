"""What a mirror is: its model, its mapping, its documents. Shared by reading and writing."""
