"""Data layouts: one module for each, and what reads, writes, converts and counts all of them."""
