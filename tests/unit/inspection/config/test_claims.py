"""Settings that are right alone and wrong together, on a model of the test's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from inspection.config.claims import Claim, Claimant, all_claims
from inspection.config.flaws import Flaw, refuse
from inspection.config.loading import ConfigPath, StrictModel, load_config
from inspection.config.resources import Named, Use, UsedPath
from inspection.errors import ConfigError


class Door(Claimant):
    number: int = 1
    key: str = "brass"

    def claims(self) -> Iterable[Claim]:
        what = f"door {self.number}"
        yield Claim(("number",), Named("door", str(self.number), what, "take another"))


class Floor(StrictModel):
    """Claims nothing, and holds models that do."""

    doors: tuple[Door, ...] = ()
    named: dict[str, Door] = Field(default_factory=dict)


class House(Claimant):
    floors: tuple[Floor, ...] = ()
    gate: Door | None = None


def message(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    path = tmp_path / "house.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, House, overrides)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


def test_both_settings_are_named_with_their_lines(tmp_path: Path) -> None:
    text = "floors:\n  - doors:\n      - number: 3\n  - named:\n      a:\n        number: 3\n"
    assert message(tmp_path, text) == [
        (
            "house.yaml:6: floors.1.named.a.number: takes door 3, and floors.0.doors.0.number "
            "(house.yaml:3) takes it too; take another"
        )
    ]


def test_every_pair_is_named_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "gate: {number: 3}\nfloors:\n- doors:\n  - number: 3\n  - number: 3\n"
    assert [line.partition(" takes")[0] for line in message(tmp_path, text)] == [
        "house.yaml:1: gate.number:",
        "house.yaml:1: gate.number:",
        "house.yaml:5: floors.0.doors.1.number:",
    ]


def test_a_default_has_the_line_of_its_section(tmp_path: Path) -> None:
    text = "floors:\n- doors:\n  - {key: iron}\ngate:\n  number: 1\n"
    assert message(tmp_path, text) == [
        (
            "house.yaml:5: gate.number: takes door 1, and floors.0.doors.0.number "
            "(house.yaml:3, not given) takes it too; take another"
        )
    ]


def test_a_setting_of_the_command_line_is_named_as_such(tmp_path: Path) -> None:
    text = "floors: [{doors: [{number: 3}]}]\ngate: {number: 2}\n"
    assert message(tmp_path, text, "gate.number=3") == [
        (
            "--set gate.number=3: gate.number: takes door 3, and floors.0.doors.0.number "
            "(house.yaml:1) takes it too; take another"
        )
    ]


def test_a_model_that_is_not_read_from_a_file_is_refused_too() -> None:
    with pytest.raises(ValidationError, match=r"gate\.number: takes door 1, and floors\.0\.doors"):
        House(floors=(Floor(doors=(Door(),)),), gate=Door())


def test_settings_that_go_together(tmp_path: Path) -> None:
    house = House(floors=(Floor(doors=(Door(), Door(number=2))),), gate=Door(number=3))
    assert [claim.keys for claim in all_claims(house)] == [
        ("floors", 0, "doors", 0, "number"),
        ("floors", 0, "doors", 1, "number"),
        ("gate", "number"),
    ]


def test_a_flaw_of_one_setting_has_its_line(tmp_path: Path) -> None:
    class Lift(Claimant):
        up: ConfigPath

        def claims(self) -> Iterable[Claim]:
            refuse([Flaw(("up",), "goes nowhere")])
            return ()

    class Tower(StrictModel):
        lift: Lift

    path = tmp_path / "tower.yaml"
    path.write_text("lift:\n  up: a\n")
    with pytest.raises(ConfigError, match=r"tower\.yaml:2: lift\.up: goes nowhere$"):
        load_config(path, Tower)


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        (("a", Use.FILE), ("a", Use.FILE), True),
        (("a", Use.FILE), ("x/../a", Use.FILE), True),
        (("a", Use.FILE), ("link", Use.FILE), True),
        (("a", Use.FILE), ("b", Use.FILE), False),
        (("x", Use.FOLDER), ("x/a", Use.FILE), True),
        (("x", Use.FOLDER), ("x/y", Use.FOLDER), True),
        (("x", Use.FOLDER), ("xy", Use.FOLDER), False),
        (("x", Use.FOLDER), ("x/*.png", Use.SOURCE), True),
        (("x", Use.FOLDER), ("x", Use.SOURCE), True),
        (
            ("x/y", Use.FOLDER),
            ("x", Use.SOURCE),
            False,
        ),  # its images are not those of a folder in it
        (("x", Use.SOURCE), ("x", Use.SOURCE), False),
        (("x", Use.SOURCE), ("x/a", Use.FILE), False),
        (("x/a", Use.SOURCE), ("x/a", Use.FILE), True),
    ],
)
def test_paths(tmp_path: Path, one: tuple[str, Use], other: tuple[str, Use], meets: bool) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    first, second = (UsedPath(tmp_path / name, use, "x") for name, use in (one, other))
    assert first.meets(second) is meets
    assert second.meets(first) is meets


def test_the_only_one_is_every_other_one_too() -> None:
    only, named, other = (Named("camera", name, "", "") for name in (None, "7", "8"))
    assert only.meets(named)
    assert named.meets(only)
    assert only.meets(only)
    assert not named.meets(other)
    assert not named.meets(Named("port", "7", "", ""))
    assert not named.meets(UsedPath(Path("7"), Use.FILE, ""))
