"""Seals, signatures and keys: which files a device believes."""
