"""Reports a study as a Markdown page for the repository, and as an HTML page with pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from export.study import StudyRow
from reports.pages import Picture, Plot, Section, Table, write_page
from reports.pictures import data_url
from reports.plots import comparison_plot

METHOD = """\
Every figure comes from the exported artefact on ONNX Runtime's CPU, at the threshold calibrated on
held-out good images for a false reject rate of 1 %, after the last epoch; no test image chooses an
epoch or a threshold. Mean ± standard deviation over the seeds, where there are several; each seed
also draws another hold-out. A promised rate of 0.39 means that too few good images were held out to
promise a lower one at 95 % confidence. Verdict flips count the test images that checkpoint and
artefact judge differently. "Measured" is the day of the training: rows of other days may
be of another version of Linewarden.
"""

Cell = Callable[[Sequence[StudyRow]], str]


def accuracy_table(rows: Sequence[StudyRow]) -> tuple[list[str], list[list[str]]]:
    """Returns a heading and one line per model, for the rows of one data set."""
    return _table(rows, _ACCURACY)


def cost_table(
    rows: Sequence[StudyRow], latencies_ms: Mapping[str, float]
) -> tuple[list[str], list[list[str]]]:
    """Returns a heading and one line per model: parameters, work before and after folds, times."""

    def latency(of: Sequence[StudyRow]) -> str:
        return f"{latencies_ms[of[0].variant]:.0f}"

    return _table(rows, {**_COST, "ms a part": latency})


def markdown(
    rows: Sequence[StudyRow], latencies_ms: Mapping[str, float], made_by: str, remark: str = ""
) -> str:
    """Writes the study as a Markdown page of tables.

    Args:
        remark: a paragraph after the method, in Markdown.
    """
    parts = [f"# Accuracy\n\nMade by {made_by}.\n\n{METHOD}"]
    if remark:
        parts.append(f"{remark}\n")
    for name, of in _by_data_set(rows).items():
        parts.append(f"## {name}\n\n{_basis(of)}\n\n{markdown_table(*accuracy_table(of))}")
    doubts = sorted({f"- {_where(row)}: {doubt}" for row in rows for doubt in row.doubts})
    if doubts:
        parts.append("## Doubts of the trainings\n\n" + "\n".join(doubts) + "\n")
    parts.append(f"## Cost\n\n{_COST_METHOD}\n\n{markdown_table(*cost_table(rows, latencies_ms))}")
    return "\n".join(parts)


def write_study(
    path: Path,
    done: Sequence[tuple[StudyRow, Path]],
    latencies_ms: Mapping[str, float],
    remark: str = "",
) -> None:
    """Writes the study as one HTML page, with parts of the first seed.

    Args:
        done: rows, at least one, with their folders, which hold `sheet.jpg`.
        latencies_ms: those of `export.study.latencies_ms`.
        remark: follows the method.
    """
    rows = [row for row, _ in done]
    first = min(row.seed for row in rows)
    sheets: dict[str, list[Picture]] = {}
    for row, folder in done:
        if row.seed == first:
            url = data_url((folder / "sheet.jpg").read_bytes())
            sheets.setdefault(row.data_set, []).append(Picture(f"{row.variant}: parts", url))
    chart = Picture(
        "Image AUROC and AUPRO of each model on each data set", data_url(comparison_chart(rows))
    )
    sections: list[Section] = [Plot("Models on the data sets", chart)]
    for name, of in _by_data_set(rows).items():
        heading, lines = accuracy_table(of)
        sections.append(Table(name, lines, heading, intro=_basis(of), folded=sheets.get(name, [])))
    heading, lines = cost_table(rows, latencies_ms)
    sections.append(Table("Cost", lines, heading, intro=_COST_METHOD))
    write_page(path, "Study of accuracy", f"{METHOD}{remark}", sections)


def comparison_chart(rows: Sequence[StudyRow]) -> bytes:
    """Plots image AUROC and AUPRO of each model on each data set, a point per seed; PNG bytes."""
    variants = list(dict.fromkeys(row.variant for row in rows))
    figures = {
        title: {
            variant: [
                (row.data_set, value)
                for row in rows
                if row.variant == variant and (value := getattr(row.evaluation, field)) is not None
            ]
            for variant in variants
        }
        for title, field in (("image AUROC", "image_auroc"), ("AUPRO at 0.3", "aupro"))
    }
    return comparison_plot(figures, list(_by_data_set(rows)))


def _spread(field: str) -> Cell:
    def cell(rows: Sequence[StudyRow]) -> str:
        values = [getattr(row.evaluation, field) for row in rows]
        return _mean([value for value in values if value is not None])

    return cell


def _rate(field: str) -> Cell:
    def cell(rows: Sequence[StudyRow]) -> str:
        rates = [getattr(row.evaluation, field) for row in rows]
        return _mean([rate.rate for rate in rates if rate is not None])

    return cell


def _false_rejects(rows: Sequence[StudyRow]) -> str:
    promised = mean(row.evaluation.promised_false_reject_rate for row in rows)
    return f"{_rate('false_reject_rate')(rows)} ({promised:.2f})"


def _span(dates: Sequence[str]) -> str:
    first, last = min(dates), max(dates)
    return first if first == last else f"{first} to {last}"


def _flips(rows: Sequence[StudyRow]) -> str:
    images = sum(row.evaluation.good + row.evaluation.defective for row in rows)
    return f"{sum(row.verdict_flips for row in rows)} of {images}"


_ACCURACY: dict[str, Cell] = {
    "model": lambda rows: rows[0].variant,
    "seeds": lambda rows: str(len(rows)),
    "measured": lambda rows: _span([row.measured_on for row in rows]),
    "image AUROC": _spread("image_auroc"),
    "AP": _spread("image_average_precision"),
    "pixel AUROC": _spread("pixel_auroc"),
    "AUPRO 0.3": _spread("aupro"),
    "AUPRO 0.05": _spread("aupro_strict"),
    "AUPIMO": _spread("aupimo"),
    "false reject rate (promised)": _false_rejects,
    "escape rate": _rate("escape_rate"),
    "verdict flips": _flips,
}
_COST: dict[str, Cell] = {
    "model": lambda rows: rows[0].variant,
    "parameters learnt": lambda rows: f"{rows[0].trained_parameters / 1e6:.2f} M",
    "GMAC before": lambda rows: f"{rows[0].literal_macs / 1e9:.2f}",
    "GMAC after": lambda rows: f"{rows[0].macs / 1e9:.2f}",
    "s to teach": lambda rows: f"{mean(row.training_s for row in rows):.0f}",
}
_COST_METHOD = (
    "GMAC: billions of multiply-accumulates of one image, before and after the exact folds. "
    "To teach: mean seconds for images, features and steps, on a machine with other work. "
    "Part: milliseconds from a native frame in memory to its verdict on one thread, the median of "
    "rounds in which the models took turns. Compare rows, not machines."
)


def _table(rows: Sequence[StudyRow], cells: dict[str, Cell]) -> tuple[list[str], list[list[str]]]:
    of = {row.variant: [r for r in rows if r.variant == row.variant] for row in rows}
    return list(cells), [[cell(group) for cell in cells.values()] for group in of.values()]


def markdown_table(heading: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Writes a table in Markdown."""
    rows = [heading, ["---"] * len(heading), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _by_data_set(rows: Sequence[StudyRow]) -> dict[str, list[StudyRow]]:
    return {row.data_set: [r for r in rows if r.data_set == row.data_set] for row in rows}


def _basis(rows: Sequence[StudyRow]) -> str:
    first = rows[0]
    return (
        f"Trained on {first.fitted} good images, calibrated on {first.held_out} others, tested on "
        f"{first.evaluation.good} good and {first.evaluation.defective} defective ones."
    )


def _where(row: StudyRow) -> str:
    return f"{row.variant} on {row.data_set}, seed {row.seed}"


def _mean(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")
