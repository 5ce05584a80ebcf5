"""Seals, signatures and keys: decide which files a device accepts."""
