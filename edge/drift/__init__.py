"""Watches a running line for drift."""
