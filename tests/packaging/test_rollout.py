"""The playbook in configs/rollout uses what exists; `make rollout-study` runs it."""

import argparse
import re
from pathlib import Path

import yaml

from edge.service.metrics import Metrics
from linewarden.commands import bundle

FOLDER = Path(__file__).parents[2] / "configs/rollout"
PLAYBOOK = (FOLDER / "bundle.yaml").read_text()


def test_its_commands_parse() -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    bundle.add_arguments(parser)
    calls = re.findall(r"as_line \+ \['linewarden', 'bundle', (.+?)\]", PLAYBOOK)
    actions = [re.sub(r"'", "", call).split(", ") for call in calls]
    assert [words[0] for words in actions] == ["install", "list", "activate", "rollback"]
    for words in actions:
        parser.parse_args(words)


def test_it_counts_the_parts_of_a_line() -> None:
    (name,) = set(re.findall(r"linewarden_\w+_total", PLAYBOOK))
    assert f"# TYPE {name} counter" in Metrics().exposition().decode()


def test_one_station_comes_after_the_other() -> None:
    (play,) = yaml.safe_load(PLAYBOOK)
    assert (play["serial"], play["any_errors_fatal"]) == (1, True)
    stations = yaml.safe_load((FOLDER / "stations.yaml").read_text())
    assert list(stations) == [play["hosts"]]
