"""The classification report in a terminal."""

from linewarden.classification_text import classification_lines
from reports.classification import DEFECTIVE, GOOD, classification


def test_three_tables() -> None:
    parts = [(GOOD, GOOD), (GOOD, DEFECTIVE), ("crack", DEFECTIVE), ("crack", DEFECTIVE)]
    assert classification_lines(classification(parts), "parts") == [
        "classification at the calibrated threshold, in parts",
        "  class         precision  recall  f1-score  support",
        "  good              1.000   0.500     0.667        2",
        "  defective         0.667   1.000     0.800        2",
        "  micro avg         0.750   0.750     0.750        4",
        "  macro avg         0.833   0.750     0.733        4",
        "  weighted avg      0.833   0.750     0.733        4",
        "  label      predicted good  predicted defective",
        "  good                    1                    1",
        "  defective               0                    2",
        "  defect  predicted good  predicted defective  recall  support",
        "  crack                0                    2   1.000        2",
    ]
