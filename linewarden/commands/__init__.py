"""Subcommands: each module offers its manual page (`__doc__`), `add_arguments` and `run`."""
