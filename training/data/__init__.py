"""Data sets on disk, and what training makes of them."""
