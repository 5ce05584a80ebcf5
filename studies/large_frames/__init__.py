"""What the study of input sizes compares: parts on large frames, and tiles of them."""
