"""Recipes of a line: loaded, changed over, asked for, and checked with reference parts."""
