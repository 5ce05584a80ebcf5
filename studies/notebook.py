"""Executes the notebook of the documentation, and keeps its output: `make notebook`."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from linewarden.parser import Parser

NOTEBOOK = Path(__file__).parents[1] / "docs/guides/notebook.ipynb"
_CELL_LIMIT_S = 600


def executed(path: Path) -> NotebookNode:
    """Returns the notebook after all of its cells.

    What a cell wrote to standard error, and when it ran, is left out: neither is the same twice.

    Raises:
        CellExecutionError: a cell raised an exception, which the message has.
    """
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=_CELL_LIMIT_S, record_timing=False)
    client.execute(cwd=str(path.parent))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    return notebook


def main() -> int:
    """Writes the notebook with the output of a fresh run."""
    Parser(prog="python -m studies.notebook", description=__doc__).parse_args()
    nbformat.write(executed(NOTEBOOK), NOTEBOOK)
    return 0


if __name__ == "__main__":
    sys.exit(main())
