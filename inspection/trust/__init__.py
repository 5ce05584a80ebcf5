"""Seals, signatures and keys: the proof that a file is what its owner wrote."""
