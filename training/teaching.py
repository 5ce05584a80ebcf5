"""The choices of `linewarden teach`: hold-out, frames, input size, and the model by evidence."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from inspection.config.loading import StrictModel
from inspection.errors import ConfigError
from inspection.images import NameExpression
from training.candidates import (
    FORMS,
    TRAINED,
    Candidate,
    Features,
    Sections,
    best_first,
    can_forget,
    configured,
    default_first,
)
from training.checkpoint import load_run
from training.closed_form import refuse_unused_settings
from training.config import TrainConfig
from training.data.survey import Split, SurveyedSample, split_good
from training.evidence import ImageBench, compare
from training.evidence_record import Evidence
from training.features import keep_freed_memory
from training.first_look import (
    described,
    fitting_size,
    frames_of,
    is_size_open,
    refuse_told_size,
)
from training.fit import fit
from training.hold_out import JUDGES, hold_out_share
from training.input_size import BudgetError, Size
from training.models.base import AnomalyModel
from training.pace import FEWEST_STEPS, Pace, measure_pace, steps_for
from training.weights_source import Source

_BATCH = 16
# Time of a comparison when nobody gives one: for a few images, for each more, and at most.
_SECONDS, _SECONDS_PER_IMAGE, _MOST_SECONDS = 6.0, 0.1, 30.0

Report = Callable[[str], None]
Measure = Callable[[TrainConfig, Sequence[SurveyedSample]], Pace]


class Plan(StrictModel):
    """The chosen training, and the comparison that chose it; None without one."""

    config: TrainConfig
    evidence: Evidence | None = None


class Wishes(NamedTuple):
    """What the person asks of the model.

    Attributes:
        seconds: time to compare and train; None for models that take no training.
        smallest_defect_px: in native px; None for any.
        budget_ms: time of the backbone per part; None for any.
        forms: of models to compare; empty for the usual ones.
        settings: `a.b=value` of the training configuration.
    """

    seconds: float | None = None
    smallest_defect_px: float | None = None
    budget_ms: float | None = None
    forms: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


def plan_teaching(
    good: Sequence[SurveyedSample],
    test: Sequence[SurveyedSample],
    sources: Sequence[Source],
    *,
    wishes: Wishes,
    sections: Sections,
    scratch: Path,
    report: Report,
    measure: Measure = measure_pace,
) -> Plan:
    """Chooses the training, by a comparison when there is more than one candidate.

    Args:
        good: the good images.
        test: labelled images; only their frame sizes count.
        sources: backbones with the places of their weights.
        sections: the given settings by section: folder, images left out, device, seed.
        scratch: folder for models that are trained to be compared.
        report: called with a line about each choice.
        measure: measures the pace of a training on the device.

    Raises:
        CameraError: there are too few images.
        ConfigError: the wishes contradict each other, or no model keeps them.
    """
    keep_freed_memory()
    different = _count_parts(good, None)
    forms = _forms(wishes, different)
    sections = _with_data(sections, forms, good, test, report)
    candidates = _candidates(forms, sources, good, wishes, sections)
    hold_out = configured(_sections_of(sections, candidates[0]), wishes.settings).data.hold_out
    if hold_out:
        report(f"{different} good images, {hold_out:.0%} of them held out for the threshold")
    else:
        report(f"{different} good images, all of them learnt")
        # Each image judges the threshold, so that none is left to choose the model.
        candidates = candidates[:1]
    config_of = _Trainings(
        good,
        wishes,
        sections,
        # One half is for the comparison, when there is one.
        seconds=(wishes.seconds or 0.0) / min(2, len(candidates)),
        report=report,
        measure=measure,
    )
    chosen, evidence = _compared(
        good, candidates, config_of, wishes, scratch=scratch, report=report
    )
    config = config_of(chosen)
    report(f"{chosen.form}, {described(config, good)}")
    return Plan(config=config, evidence=evidence)


class _Trainings:
    """Makes the training of each candidate; plans steps for one that takes them."""

    def __init__(
        self,
        good: Sequence[SurveyedSample],
        wishes: Wishes,
        sections: Sections,
        *,
        seconds: float,
        report: Report,
        measure: Measure,
    ) -> None:
        self._good, self._wishes, self._sections = good, wishes, sections
        self._seconds, self._report, self._measure = seconds, report, measure
        self._steps: dict[Candidate, int] = {}

    def __call__(self, candidate: Candidate) -> TrainConfig:
        sections = _sections_of(self._sections, candidate)
        if candidate.form == TRAINED:
            steps = {"epochs": 1, "batch_size": _BATCH, "minimum_steps": self._planned(candidate)}
            sections = {**sections, "fit": {**sections["fit"], **steps}}
        config = configured(sections, self._wishes.settings)
        if candidate.form != TRAINED:
            refuse_unused_settings(config)
        return config

    def _planned(self, candidate: Candidate) -> int:
        if candidate not in self._steps:
            sections = _sections_of(self._sections, candidate)
            least = {"epochs": 1, "batch_size": _BATCH, "minimum_steps": FEWEST_STEPS}
            timed = {**sections, "fit": {**sections["fit"], **least}}
            config = configured(timed, self._wishes.settings)
            pace = self._measure(config, self._good)
            steps, remark = steps_for(pace, len(self._good), self._seconds)
            self._report(f"{steps} steps at {pace.per_step:.2f} s on {config.fit.device}{remark}")
            self._steps[candidate] = steps
        return self._steps[candidate]


def _forms(wishes: Wishes, images: int) -> list[str]:
    """Returns the forms to compare, the default first.

    Raises:
        ConfigError: settings of the model are for one of several, or a training has no time.
    """
    told = [setting.partition("=")[0] for setting in wishes.settings]
    for name in ("model.name", "model.backbone.name", "model.backbone.weights"):
        if name in told:
            raise ConfigError(
                f"--set {name}: teach chooses it from --models and --weights; 'linewarden train' "
                "takes any"
            )
    own = [n for n in told if n.startswith("model.") and not n.startswith("model.backbone.")]
    if own and len(wishes.forms) != 1:
        raise ConfigError(f"--set {own[0]}: is for one model; name it with --models")
    if wishes.forms:
        if TRAINED in wishes.forms and wishes.seconds is None:
            raise ConfigError(f"--models {TRAINED}: is trained, so give it --minutes")
        return list(wishes.forms)
    if wishes.seconds is not None:
        return [*FORMS, TRAINED]
    return [form for form in FORMS if images > JUDGES or can_forget(form)]


def _with_data(
    sections: Sections,
    forms: Sequence[str],
    good: Sequence[SurveyedSample],
    test: Sequence[SurveyedSample],
    report: Report,
) -> Sections:
    """Adds frame sizes and hold-out to the given settings."""
    frames = frames_of([*good, *test])
    for remark in frames.remarks:
        report(remark)
    given = sections["data"]
    name = given.get("part_name")
    part_of = NameExpression("data.part_name", name) if name is not None else None
    _count_parts(test, part_of)  # refuses a file without a name before anything is learnt
    # A model of the other images would know the others of the part.
    in_turn = part_of is None and all(map(can_forget, forms))
    data = {
        "hold_out": hold_out_share(_count_parts(good, part_of), in_turn=in_turn),
        "frame_height": frames.heights,
        "frame_width": frames.widths,
    }
    return {**sections, "data": {**given, **data}}


def _candidates(
    forms: Sequence[str],
    sources: Sequence[Source],
    good: Sequence[SurveyedSample],
    wishes: Wishes,
    sections: Sections,
) -> list[Candidate]:
    """Returns the candidates, the default first, then those with the same features."""
    sizes: dict[Source, Size] = {}
    refusals = []
    for source in sources if forms[0] == TRAINED else best_first(sources):
        config = configured(_sections(sections, forms[0], source), wishes.settings)
        try:
            sizes[source] = _size(config, good, wishes)
        except BudgetError as refusal:
            refusals.append(refusal)
    if not sizes:
        raise refusals[0]
    # A training takes half of the time, or all of it: there is one, on the most accurate backbone.
    trained_on = next(source for source in sources if source in sizes)
    return [
        Candidate(form, Features(source, size))
        for source, size in sizes.items()
        for form in (forms if wishes.forms else default_first(forms, source))
        if form != TRAINED or source == trained_on
    ]


def _size(config: TrainConfig, good: Sequence[SurveyedSample], wishes: Wishes) -> Size:
    if is_size_open(config):
        return fitting_size(
            config,
            good,
            smallest_defect_px=wishes.smallest_defect_px,
            budget_ms=wishes.budget_ms,
        )
    refuse_told_size(wishes.smallest_defect_px, wishes.budget_ms)
    return config.data.image_size


def _compared(
    good: Sequence[SurveyedSample],
    candidates: Sequence[Candidate],
    config_of: _Trainings,
    wishes: Wishes,
    *,
    scratch: Path,
    report: Report,
) -> tuple[Candidate, Evidence | None]:
    """Returns the chosen candidate; the default when there is no comparison."""
    if len(candidates) == 1:
        return candidates[0], None
    started = time.monotonic()
    config = config_of(candidates[0])
    split = split_good(
        good, hold_out=config.data.hold_out, seed=config.fit.seed, part_of=config.data.part_of
    )
    bench = ImageBench(
        split.fit,
        candidates,
        config_of,
        train=partial(_trained, split, scratch) if wishes.seconds is not None else None,
        smallest_px=wishes.smallest_defect_px or 0.0,
    )
    seconds = wishes.seconds or min(_SECONDS + _SECONDS_PER_IMAGE * len(good), _MOST_SECONDS)
    reason = bench.reason_against(candidates[0], max(seconds, _MOST_SECONDS))
    if reason:
        report(f"no comparison, the default: {reason}")
        return candidates[0], None
    chosen, tried, reason = compare(candidates, bench, seconds)
    evidence = Evidence(
        judged=len(bench.judged),
        drawn=len(bench.drawn.wanted),
        seconds=round(time.monotonic() - started, 1),
        tried=tried,
        reason=reason,
    )
    for line in evidence.lines():
        report(line)
    return chosen, evidence


def _count_parts(samples: Sequence[SurveyedSample], part_of: Callable[[Path], str] | None) -> int:
    """Returns the number of parts in different images."""
    if part_of is None:
        return len({sample.sha256 for sample in samples})
    return len({part_of(sample.sample.path) for sample in samples})


def _trained(
    split: Split, scratch: Path, config: TrainConfig, judged: Sequence[SurveyedSample]
) -> AnomalyModel:
    """Trains a model on the images that are neither held out nor judged."""
    # A larger hold-out takes the judged images too: they are the first of those to fit.
    part_of = config.data.part_of
    left = _count_parts([*split.held_out, *judged], part_of)
    share = (left - 0.5) / _count_parts([*split.held_out, *split.fit], part_of)
    data = config.data.model_copy(update={"hold_out": share})
    shutil.rmtree(scratch, ignore_errors=True)  # of an interrupted call
    fit(config.model_copy(update={"data": data}), scratch)
    _, model = load_run(scratch)
    shutil.rmtree(scratch)
    return model


def _sections(sections: Sections, form: str, source: Source, size: Size | None = None) -> Sections:
    """Adds the settings of a candidate; without a size, that of the settings stays."""
    model = {**FORMS.get(form, {"name": TRAINED, "noise_std": "auto"})}
    if form == TRAINED and sections["fit"]["device"] == "cpu":
        model["sampled_grid"] = _BATCH
    model["backbone"] = {"name": source.name, "weights": source.weights}
    data = sections["data"] if size is None else {**sections["data"], "image_size": size}
    return {"data": data, "model": model, "fit": sections["fit"]}


def _sections_of(sections: Sections, candidate: Candidate) -> Sections:
    return _sections(sections, candidate.form, *candidate.features)
