"""Trials: one at a time, in a process whose time is bounded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge.panel.zones import trials
from edge.panel.zones.trials import Trials
from inspection.errors import BundleError
from tests.doubles.waiting import wait_for


def test_one_trial_runs_at_a_time_and_ends_with_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow"
    slow.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    monkeypatch.setattr(trials, "TRIAL_S", 2)
    running, outcome, prepared = Trials(), tmp_path / "1.trial.json", []
    outcome.write_text("of an earlier trial")
    running.begin(["layout"], outcome, lambda: prepared.append(1))
    assert not outcome.exists()
    with pytest.raises(BundleError, match="another trial runs"):
        running.begin(["layout"], tmp_path / "2.trial.json", lambda: prepared.append(2))
    assert prepared == [1]
    wait_for(lambda: not running.state(outcome).is_running, 60)
    assert running.state(outcome).failure.startswith("it took longer than 2 s")
    assert not running.state(tmp_path / "3.trial.json").is_running
