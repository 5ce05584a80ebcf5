"""The page of an evaluation: complete, self-contained, and safe against hostile names."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inspection.bundle import Chosen
from inspection.inspector import Inspector
from inspection.verdict import Verdict
from tests.doubles.html_page import Page
from training.data.data_set import DataSet
from training.evaluation import Evaluation, evaluate
from training.evaluation_files import evaluate_to
from training.inspected import InspectedSample, inspect_samples
from training.report import figure_rows, in_order_of_interest, write_report
from training.separation import Separation

MakeInspector = Callable[..., Inspector]
MakeDataSet = Callable[[dict[str, int]], DataSet]
Evaluated = tuple[Evaluation, list[InspectedSample]]
PARTS = {"good/1": 51, "good/2": 102, "good/3": 204, "crack/1": 230, "crack/2": 77, "dent/1": 255}


@pytest.fixture
def evaluated(make_inspector: MakeInspector, make_data_set: MakeDataSet) -> Evaluated:
    inspector = make_inspector()
    inspected = inspect_samples(inspector, make_data_set(PARTS).test)
    return evaluate(inspector, "parts", inspected), inspected


def written(path: Path, evaluated: Evaluated, **options: object) -> str:
    write_report(path / "report.html", "Flanges", *evaluated, **options)  # type: ignore[arg-type]
    return (path / "report.html").read_text()


def test_the_page_names_each_engine(
    make_inspector: MakeInspector, make_data_set: MakeDataSet, tmp_path: Path
) -> None:
    inspector = make_inspector()
    inspector.chosen = Chosen("openvino", "model.onnx")
    inspected = inspect_samples(inspector, make_data_set(PARTS).test)
    evaluation = evaluate(inspector, "parts", inspected)
    text = Page(written(tmp_path, (evaluation, inspected))).text
    at = text.index("engine")
    assert text[at + 1].startswith("model.onnx on openvino in fp32, SHA-256 ")
    assert text[at + 1].endswith("; verdicts: 6")


class TestPage:
    def test_needs_no_network_and_no_script(self, evaluated: Evaluated, tmp_path: Path) -> None:
        html = written(tmp_path, evaluated)
        page = Page(html)
        assert all(link.startswith("data:image/") for link in page.links)
        assert not {"script", "link", "iframe"} & set(page.tags)
        assert "http" not in html
        assert "url(" not in html
        assert str(tmp_path) not in html

    def test_shows_figures_counts_and_bounds(self, evaluated: Evaluated, tmp_path: Path) -> None:
        text = Page(written(tmp_path, evaluated)).text
        assert text.count("1 of 3 good parts; 95% bounds 0.8% to 90.6%") == 2
        assert text.count("1 of 3 defective parts; 95% bounds 0.8% to 90.6%") == 2
        assert "0.778" in text
        assert "threshold chosen with the test labels: an upper limit, not a result" in text
        assert f"model.onnx, SHA-256 {evaluated[0].artefact_sha256}" in text

    def test_shows_the_classification(self, evaluated: Evaluated, tmp_path: Path) -> None:
        text = Page(written(tmp_path, evaluated)).text
        at = text.index("Classification report")
        heading = ["class", "precision", "recall", "f1-score", "support"]
        assert text[at + 1 : at + 11] == [*heading, "good", "0.667", "0.667", "0.667", "3"]
        at = text.index("Confusion matrix")
        assert text[at + 4 : at + 10] == ["good", "2", "1", "defective", "1", "2"]
        at = text.index("Defects by kind")
        assert text[at + 6 : at + 11] == ["crack", "1", "1", "0.500", "2"]

    def test_wrong_verdicts_come_first(self, evaluated: Evaluated, tmp_path: Path) -> None:
        text = Page(written(tmp_path, evaluated)).text
        names = [word for word in text if word.endswith(".png")]
        assert names == [
            "good/3.png",
            "crack/2.png",
            "good/2.png",
            "good/1.png",
            "crack/1.png",
            "dent/1.png",
        ]
        at = text.index("good/3.png")
        assert text[at - 2 : at + 2] == ["REJECT", "0.8 > 0.5", "good/3.png", "false reject"]

    def test_says_how_many_parts_it_shows(self, evaluated: Evaluated, tmp_path: Path) -> None:
        page = Page(written(tmp_path, evaluated, cards=2))
        assert page.tags.count("article") == 2
        assert any(text.startswith("2 of 6 images are shown:") for text in page.text)

    def test_notices_and_doubts(self, evaluated: Evaluated, tmp_path: Path) -> None:
        evaluation, inspected = evaluated
        doubtful = evaluation.model_copy(update={"doubts": ("few parts",)})
        text = Page(written(tmp_path, (doubtful, inspected), notices=["a trial"])).text
        at = text.index("Read this first")
        assert text[at + 1 : at + 3] == ["a trial", "few parts"]
        assert "Read this first" not in Page(written(tmp_path, evaluated)).text

    def test_names_are_escaped(self, evaluated: Evaluated, tmp_path: Path) -> None:
        evaluation, inspected = evaluated
        hostile = evaluation.model_copy(
            update={"data_set": "<script>alert(1)</script>", "no_verdict": {"<b>": "<i>"}}
        )
        page = Page(written(tmp_path, (hostile, inspected), notices=["<img src=x>"]))
        assert not {"script", "b", "i"} & set(page.tags)
        assert "<img src=x>" in page.text

    def test_without_parts_to_show(self, evaluated: Evaluated, tmp_path: Path) -> None:
        page = Page(written(tmp_path, (evaluated[0], [])))
        assert page.tags.count("article") == 0


def test_undefined_figures_have_a_reason(
    make_inspector: MakeInspector, make_data_set: MakeDataSet
) -> None:
    inspector = make_inspector()
    inspected = inspect_samples(inspector, make_data_set({"good/1": 51}).test)
    rows = dict(figure_rows(evaluate(inspector, "parts", inspected)))
    assert rows["Escape rate"].split(maxsplit=1) == [
        "-",
        "there is no defective part with a verdict",
    ]
    assert rows["Image AUROC"].split(maxsplit=1) == [
        "-",
        "both good samples and defects are needed",
    ]


def test_parts_without_verdict_follow_the_wrong_ones(evaluated: Evaluated) -> None:
    *others, last = evaluated[1]
    unjudged = replace(last, inspection=replace(last.inspection, verdict=Verdict.NO_VERDICT))
    order = [sample.name for sample in in_order_of_interest([*others, unjudged])]
    assert order[:3] == ["good/3.png", "crack/2.png", "dent/1.png"]


def test_the_command_writes_four_files_and_leaves_others(
    make_inspector: MakeInspector, make_data_set: MakeDataSet, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    found = evaluate_to(make_inspector(), make_data_set(PARTS), out)
    names = ["histogram.png", "mine.txt", "report.html", "result.json", "sheet.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert Evaluation.model_validate_json((out / "result.json").read_bytes()) == found


def test_categories_stand_below_each_other_with_their_mean(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    evaluation, inspected = evaluated
    figures = {name: getattr(evaluation, name) for name in Separation.model_fields}
    worse = Separation(**{**figures, "image_auroc": 0.5, "aupimo": None})
    better = Separation(**{**figures, "image_auroc": 1.0, "aupimo": None})
    both = evaluation.model_copy(update={"categories": {"bolt": worse, "nut": better}})
    write_report(tmp_path / "report.html", "Parts", both, inspected)
    text = Page((tmp_path / "report.html").read_text()).text
    start = text.index("Categories")
    assert text[start + 6 : start + 8] == ["bolt", "0.500"]
    mean = text.index("mean", start)
    assert text[mean + 1] == "0.750"
    assert text[mean + 4] == "-"
