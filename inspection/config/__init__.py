"""Reads strict YAML: loading, source positions, problems, tables of drivers."""
