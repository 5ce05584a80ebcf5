"""A repeated call of teach goes on; a call for something else is refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from inspection.config.loading import dump_yaml
from inspection.errors import ConfigError
from inspection.files import sha256_of, write_text
from linewarden.earlier_teaching import PLAN, Asked, is_taught, keep_plan, plan_of_earlier_call
from tests.unit.training.test_adding import config, draw, taught
from training.data.layout import read_data_set
from training.teaching import Plan

NOTHING: Mapping[str, Any] = MappingProxyType({})
OPTIONS = {"minutes": 2.0, "models": ["subspace", "memory"], "window": [400, 3200]}


def asked(folder: Path, options: Mapping[str, Any] = NOTHING, *without: Path) -> Asked:
    left_out = {sha256_of(path): path.name for path in without}
    return Asked(options, left_out, folder, read_data_set(folder))


def planned(run: Path, now: Asked) -> Plan:
    """Keeps the plan of a call that was killed before its run was complete."""
    plan = Plan(config=config(run.parent / "parts"))
    plan.config.data.without.update(now.without)
    hashes = (sha256_of(sample.path) for sample in now.images.good)
    keep_plan(run, plan, now, (one for one in hashes if one not in now.without))
    return plan


def test_a_new_call_finds_nothing(tmp_path: Path) -> None:
    parts = draw(tmp_path / "parts", range(2))
    assert plan_of_earlier_call(tmp_path / "run", asked(parts)) is None
    assert not is_taught(tmp_path / "run", asked(parts))


def test_the_same_call_takes_the_plan_of_the_interrupted_one(tmp_path: Path) -> None:
    parts = draw(tmp_path / "parts", range(3))
    plan = planned(tmp_path / "run", asked(parts, OPTIONS, parts / "000.png"))
    moved = draw(tmp_path / "moved", range(3))
    again = asked(moved, OPTIONS, moved / "000.png")
    found = plan_of_earlier_call(tmp_path / "run", again)
    assert found is not None
    assert found.config.data.folder == moved
    assert (found.config.model, found.config.fit) == (plan.config.model, plan.config.fit)
    assert not is_taught(tmp_path / "run", again)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {**OPTIONS, "minutes": 5.0, "seed": 7},
            "--minutes is 5.0, where it was 2.0; --seed is 7, where it was not given",
        ),
        (
            {"minutes": 2.0, "window": [400, 3200]},
            "--models is not given, where it was subspace memory",
        ),
    ],
)
def test_other_options_are_named(options: dict[str, Any], expected: str, tmp_path: Path) -> None:
    parts = draw(tmp_path / "parts", range(2))
    planned(tmp_path / "run", asked(parts, OPTIONS))
    whole = f"run: is from an earlier call, and {expected}: repeat that call to go on with it, or"
    with pytest.raises(ConfigError, match=re.escape(whole)):
        plan_of_earlier_call(tmp_path / "run", asked(parts, options))


def test_other_images_than_those_of_the_plan_are_refused(tmp_path: Path) -> None:
    parts = draw(tmp_path / "parts", range(2))
    planned(tmp_path / "run", asked(parts))
    draw(parts, range(2, 3))
    with pytest.raises(ConfigError, match="the good images are not those of that call: repeat"):
        plan_of_earlier_call(tmp_path / "run", asked(parts))
    write_text(tmp_path / "run" / PLAN, dump_yaml(Plan(config=config(parts))))  # as before 0.2
    with pytest.raises(ConfigError, match="the good images are not those of that call: repeat"):
        plan_of_earlier_call(tmp_path / "run", asked(parts))


def test_a_finished_run_is_taken_for_its_images_only(tmp_path: Path) -> None:
    parts, run = draw(tmp_path / "parts", range(6)), tmp_path / "run"
    taught(parts, run)
    assert is_taught(run, asked(draw(tmp_path / "moved", range(6))))
    with pytest.raises(ConfigError, match=r"--models is memory, where it was not given: repeat"):
        is_taught(run, asked(parts, {"models": ["memory"]}))
    with pytest.raises(ConfigError, match=r"is from an earlier call, and it has used 003\.png: re"):
        is_taught(run, asked(parts, NOTHING, parts / "003.png"))
    more = draw(tmp_path / "more", range(1, 8))
    expected = r"2 good images are new \(006\.png, 007\.png\); 1 of its images are not in the fold"
    with pytest.raises(ConfigError, match=expected):
        is_taught(run, asked(more))


def test_an_image_that_was_left_out_does_not_come_back_in_silence(tmp_path: Path) -> None:
    parts = draw(tmp_path / "parts", range(3))
    planned(tmp_path / "run", asked(parts, NOTHING, parts / "001.png"))
    with pytest.raises(ConfigError, match=r"and it has left out 001\.png: repeat that call"):
        plan_of_earlier_call(tmp_path / "run", asked(parts))
