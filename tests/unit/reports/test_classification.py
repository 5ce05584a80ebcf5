"""The classification report, beside scikit-learn's and by hand."""

import math
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import classification_report, confusion_matrix

from reports.classification import (
    DEFECTIVE,
    GOOD,
    REVIEW,
    ClassFigures,
    class_rows,
    classification,
    classification_tables,
    confusion_rows,
    defect_rows,
)

PARTS = [
    *[(GOOD, GOOD)] * 18,
    *[(GOOD, DEFECTIVE)] * 2,
    *[("crack", DEFECTIVE)] * 6,
    *[("crack", GOOD)] * 2,
    *[("dent", DEFECTIVE)] * 1,
    *[("dent", REVIEW)] * 1,
]


def test_by_hand() -> None:
    found = classification(PARTS)
    assert found.classes == {
        GOOD: ClassFigures(precision=18 / 20, recall=18 / 20, f1=0.9, support=20),
        DEFECTIVE: ClassFigures(precision=7 / 9, recall=7 / 10, f1=14 / 19, support=10),
    }
    assert found.micro == ClassFigures(precision=25 / 29, recall=25 / 30, f1=50 / 59, support=30)
    assert found.macro.recall == pytest.approx((0.9 + 0.7) / 2)
    assert found.weighted.recall == pytest.approx((20 * 0.9 + 10 * 0.7) / 30)
    assert found.confusion == {
        GOOD: {GOOD: 18, DEFECTIVE: 2, REVIEW: 0},
        DEFECTIVE: {GOOD: 2, DEFECTIVE: 7, REVIEW: 1},
    }
    assert found.recall_by_defect == {"crack": 0.75, "dent": 0.5}


def test_as_text() -> None:
    found = classification(PARTS)
    assert class_rows(found) == [
        ("class", "precision", "recall", "f1-score", "support"),
        ("good", "0.900", "0.900", "0.900", "20"),
        ("defective", "0.778", "0.700", "0.737", "10"),
        ("micro avg", "0.862", "0.833", "0.847", "30"),
        ("macro avg", "0.839", "0.800", "0.818", "30"),
        ("weighted avg", "0.859", "0.833", "0.846", "30"),
    ]
    assert confusion_rows(found) == [
        ("label", "predicted good", "predicted defective", "predicted review"),
        ("good", "18", "2", "0"),
        ("defective", "2", "7", "1"),
    ]
    assert defect_rows(found) == [
        (
            "defect",
            "predicted good",
            "predicted defective",
            "predicted review",
            "recall",
            "support",
        ),
        ("crack", "2", "6", "0", "0.750", "8"),
        ("dent", "0", "1", "1", "0.500", "2"),
    ]
    headings = [table.heading for table in classification_tables(found, "a note")]
    assert headings == ["Classification report", "Confusion matrix", "Defects by kind"]


def test_without_review_the_micro_average_is_the_accuracy() -> None:
    found = classification([(GOOD, GOOD), (GOOD, DEFECTIVE), ("crack", DEFECTIVE)])
    assert (found.micro.precision, found.micro.recall, found.micro.f1) == (2 / 3, 2 / 3, 2 / 3)
    assert REVIEW not in found.confusion[GOOD]


def test_good_parts_alone_and_none_at_all() -> None:
    found = classification([(GOOD, GOOD)])
    assert found.classes[DEFECTIVE] == ClassFigures(precision=None, recall=None, f1=None, support=0)
    assert found.macro == ClassFigures(precision=1.0, recall=1.0, f1=1.0, support=1)
    assert class_rows(found)[2] == ("defective", "-", "-", "-", "0")
    assert defect_rows(found) == []
    assert classification([]).micro.f1 is None


LABELS = st.sampled_from([GOOD, "crack", "dent"])
SAID = st.sampled_from([GOOD, DEFECTIVE, REVIEW])


@given(st.lists(st.tuples(LABELS, SAID), min_size=1, max_size=60))
def test_as_scikit_learn(parts: list[tuple[str, str]]) -> None:
    truth = [GOOD if label == GOOD else DEFECTIVE for label, _ in parts]
    said = [one for _, one in parts]
    found = classification(parts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn about figures that are not defined
        expected: dict[str, Any] = classification_report(
            truth, said, labels=[GOOD, DEFECTIVE], output_dict=True, zero_division=math.nan
        )
    # Without a review scikit-learn names the micro average accuracy.
    if "accuracy" in expected:
        assert found.micro.f1 == pytest.approx(expected["accuracy"])
    named = {**found.classes, "macro avg": found.macro, "weighted avg": found.weighted}
    named |= {"micro avg": found.micro} if "micro avg" in expected else {}
    for name, one in named.items():
        values = {"precision": one.precision, "recall": one.recall, "f1-score": one.f1}
        for figure, value in values.items():
            wanted = expected[name][figure]
            if name == "weighted avg" and value is None:
                continue  # no class with a weight; scikit-learn takes the mean without weights
            assert value == pytest.approx(None if math.isnan(wanted) else wanted), (name, figure)
        assert one.support == expected[name]["support"]
    said_names = [GOOD, DEFECTIVE, REVIEW]
    matrix = confusion_matrix(truth, said, labels=said_names)
    for label, row in found.confusion.items():
        at = said_names.index(label)
        assert [row.get(one, 0) for one in said_names] == matrix[at].tolist()
