"""What the parts of the package meet at: protocols and plain values, no behaviour."""
