from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AliasChoices, Field, ValidationError, model_validator

from inspection.config.loading import ConfigPath, StrictModel, dump_yaml, json_schema, load_config
from inspection.errors import ConfigError


class Mqtt(StrictModel):
    kind: Literal["mqtt"] = "mqtt"
    port: Annotated[int, Field(ge=1, le=65535)]
    mqtt: int = 0  # has the name of its kind, which pydantic puts into locations
    topics: tuple[str, ...] = ()


class JsonLines(StrictModel):
    kind: Literal["jsonlines"] = "jsonlines"
    path: ConfigPath


class Fit(StrictModel):
    epochs: Annotated[int, Field(ge=1)] = 300
    noise_std: Annotated[float, Field(gt=0)] | Literal["auto"] | None = None
    cycles: int = Field(default=0, alias="max-cycles")
    retries: int = Field(default=0, validation_alias=AliasChoices("retries", "attempts"))

    @model_validator(mode="after")
    def _check(self) -> Fit:
        if self.epochs == 13:
            raise ValueError("epochs should not be 13")
        return self


class Line(StrictModel):
    exposure_us: float = 100.0
    loop: bool = False
    label: str = ""
    folder: ConfigPath | None = None
    size: tuple[int, int] = (1, 2)
    outputs: tuple[Annotated[Mqtt | JsonLines, Field(discriminator="kind")], ...] = ()
    cameras: Annotated[tuple[JsonLines, ...], Field(min_length=1)] = (JsonLines(path=Path("/x")),)
    zones: dict[str, JsonLines] = Field(default_factory=dict)
    fallback: Mqtt | JsonLines | None = None
    spare: Annotated[Mqtt | JsonLines, Field(discriminator="kind")] | Literal["none"] = "none"
    fit: Fit = Fit()
    notes: dict[str, Any] = Field(default_factory=dict)


def load(tmp_path: Path, text: str, *overrides: str) -> Line:
    path = tmp_path / "line.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, Line, overrides)


def message(tmp_path: Path, text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, *overrides)
    return str(caught.value).replace(f"{tmp_path}/", "")


# --- Valid files --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null", "{}", "\ufeff"])
def test_an_empty_file_gives_the_defaults(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == Line()


def test_a_whole_file(tmp_path: Path) -> None:
    text = """\
label: station é 3
outputs:
  - kind: mqtt
    port: 1883
    topics: [a, b]
  - {kind: jsonlines, path: /var/x.jsonl}
zones:
  left: {path: a}
fit: {max-cycles: 3, attempts: 2, noise_std: auto}
"""
    assert load(tmp_path, text) == Line(
        label="station é 3",
        outputs=(Mqtt(port=1883, topics=("a", "b")), JsonLines(path=Path("/var/x.jsonl"))),
        zones={"left": JsonLines(path=tmp_path / "a")},
        fit=Fit.model_validate({"max-cycles": 3, "attempts": 2, "noise_std": "auto"}),
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("1e-4", 1e-4), ("1E5", 1e5), ("-2.5e3", -2500.0), (".5", 0.5), ("1_000.5", 1000.5)],
        *[("010", 10.0), ("0x10", 16.0), ("7", 7.0), ("-3", -3.0)],
    ],
)
def test_numbers(tmp_path: Path, text: str, value: float) -> None:
    assert load(tmp_path, f"exposure_us: {text}").exposure_us == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("on", True), ("yes", True), ("False", False), ("off", False), ("no", False)],
)
def test_a_bool_is_written_in_any_usual_way(tmp_path: Path, text: str, value: bool) -> None:
    assert load(tmp_path, f"loop: {text}").loop is value


@pytest.mark.parametrize(
    "text", ["no", "on", "y", "010", "12:30", "2024-01-31", "=", "1e", "1.2.3"]
)
def test_words_that_yaml_1_1_would_convert_stay_text(tmp_path: Path, text: str) -> None:
    config = load(tmp_path, f"label: {text}\nnotes: {{on: {text}, 1: x, 010: y}}")
    assert config.label == text
    assert config.notes == {"on": text, "1": "x", "010": "y"}


def test_plain_values_keep_their_type_where_anything_may_stand(tmp_path: Path) -> None:
    config = load(tmp_path, "notes: {a: 1, b: 1e-4, c: true, d: null, e: ~, f: , g: '1', h: [x]}")
    expected = {"a": 1, "b": 1e-4, "c": True, "d": None, "e": None, "f": None, "g": "1", "h": ["x"]}
    assert {key: (type(value), value) for key, value in config.notes.items()} == {
        key: (type(value), value) for key, value in expected.items()
    }


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    text = """\
notes:
  a: &a {x: 1, y: 1}
  b: &b {y: 2, z: 2}
  one: {<<: *a, y: 3}
  many: {<<: [*b, *a], w: 4}
  same: *a
"""
    notes = load(tmp_path, text).notes
    assert notes["one"] == {"x": 1, "y": 3}
    assert notes["many"] == {"x": 1, "y": 2, "z": 2, "w": 4}
    assert notes["same"] == {"x": 1, "y": 1}


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(tmp_path, "folder: data\nzones: {a: {path: ../b}, c: {path: /d}}")
    assert config.folder == tmp_path / "data"
    assert config.zones["a"].path == tmp_path / "../b"
    assert config.zones["c"].path == Path("/d")
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("line.yaml"), Line) == config


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        (
            "~/data",
            "'~' is not replaced in a path; write '/home/ann/data', or './~/data' for a file",
        ),
        ("~nobody-of-us/x", "'~' is not replaced in a path; write the whole path, or"),
        ("$HOME/data", "variables are not replaced in a path; write '/home/ann/data'"),
        ("/x/${HOME}", "variables are not replaced in a path; write '/x//home/ann'"),
        ("/x/$NOT_SET/y", "variables are not replaced in a path; write the whole path"),
    ],
)
def test_a_home_or_variable_in_a_path_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, advice: str
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.delenv("NOT_SET", raising=False)
    assert message(tmp_path, f"folder: {path}").startswith(f"line.yaml:1: folder: {advice}")
    assert message(tmp_path, "", f"folder={path}").startswith(
        f"--set folder={path}: folder: {advice}"
    )


def test_other_signs_in_a_path_are_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("./~/x", "a~", "a$", "$ 3", "%HOME%"):
        assert load(tmp_path, f"folder: '{name}'").folder == tmp_path / name
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a$b").mkdir()  # a name that is there is no variable that a shell forgot
    assert load(tmp_path, "", "folder=a$b").folder == tmp_path / "a$b"


def test_a_path_stays_as_given_where_no_file_is_loaded() -> None:
    assert JsonLines(path=Path("x")).path == Path("x")
    assert Line.model_validate({"folder": "x"}, context={"other": 1}).folder == Path("x")


# --- Files that are not a configuration ---------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- 1", "line.yaml:1: should be a mapping of keys to values"),
        ("\n\nword", "line.yaml:3: should be a mapping of keys to values"),
        (
            "a: [1\nb: 2",
            (
                "line.yaml:2:2: is not YAML: while parsing a flow sequence, expected ',' or ']', "
                "but got ':'"
            ),
        ),
        (
            "a:\n\tb: 2",
            (
                "line.yaml:2:1: is not YAML: while scanning for the next token, found character "
                "'\\t' that cannot start any token; indent with spaces"
            ),
        ),
        (
            "a: 1\n---\nb: 2",
            (
                "line.yaml:2:1: is not YAML: expected a single document in the stream, "
                "but found another document"
            ),
        ),
        (
            "a: *z",
            (
                "line.yaml:1:4: is not YAML: found undefined alias; quote a text that begins with "
                "*, & or !"
            ),
        ),
        ("a: 1\nb: \x00", "line.yaml:2:4: is not YAML: it has the character U+0000"),
        ("[" * 3000, "line.yaml: is nested too deeply"),
        (f"notes: {'[' * 100}{']' * 100}", "line.yaml:1: is nested too deeply"),
        (f"#{' ' * 524_288}", "line.yaml: has more than 524288 bytes: not a configuration"),
        ("notes:\n  - &x\n    - *x", "line.yaml:2: notes.0.0: contains itself"),
        ("notes: &x\n  <<: *x", "line.yaml:2: notes: contains itself"),
    ],
)
def test_what_cannot_be_loaded(tmp_path: Path, text: str, expected: str) -> None:
    assert message(tmp_path, text) == expected


def test_few_aliases_that_stand_for_millions_of_values(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    text = "notes:\n" + "".join(f"  {line}\n" for line in lines)
    started = time.monotonic()
    found = message(tmp_path, text)
    assert time.monotonic() - started < 20
    assert found == "line.yaml:6: has more than 100000 values; each alias counts"
    merges = "notes: {a: &a {x: 1}}\n" + "".join(
        f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}' if n else '*a'] * 10)}]}}\n" for n in range(8)
    )
    assert "has more than 100000 values" in message(tmp_path, merges)


def test_a_device_that_never_ends_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigError, match="/dev/zero: has more than 524288 bytes"):
        load_config(Path("/dev/zero"), Line)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    absent, folder, binary = tmp_path / "absent.yaml", tmp_path / "folder", tmp_path / "x.bin"
    folder.mkdir()
    binary.write_bytes(b"label: \xff")
    for path, reason in [
        (absent, "No such file or directory"),
        (folder, "Is a directory"),
        (binary, "it is not UTF-8 text"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load_config(path, Line)
        assert str(caught.value) == f"{path}: cannot be read: {reason}"


# --- Files with errors --------------------------------------------------------------------------


def test_all_problems_are_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
exposure_uss: 1
zones:
  left: {kind: jsonlines}
  right: 3
label: 5
outputs:
  - kind: mqtt
    port: 0
    prt: 1
  - kind: jsonline
  - port: 3
  - kind: mqtt
    mqtt: x
    topics:
      - a
      - 3
loop: 3
loop: true
size: [1]
fit:
  noise_std: -1
  max-cycle: 2
  atempts: 1
  epochs: 0
"""
    assert message(tmp_path, text).splitlines() == [
        "line.yaml:1: exposure_uss: unknown key; did you mean 'exposure_us'?",
        "line.yaml:3: zones.left.path: is missing",
        "line.yaml:4: zones.right: should be a mapping of keys to values, found 3",
        "line.yaml:5: label: should be a valid string, found 5",
        "line.yaml:8: outputs.0.port: should be greater than or equal to 1, found 0",
        "line.yaml:9: outputs.0.prt: unknown key; did you mean 'port'?",
        "line.yaml:10: outputs.1.kind: 'jsonline' is unknown; did you mean 'jsonlines'?",
        "line.yaml:11: outputs.2.kind: is missing",
        "line.yaml:12: outputs.3.port: is missing",
        "line.yaml:13: outputs.3.mqtt: should be a valid integer, found 'x'",
        "line.yaml:16: outputs.3.topics.1: should be a valid string, found 3",
        "line.yaml:18: loop: is given here and on line 17; keep one",
        "line.yaml:19: size.1: is missing",
        "line.yaml:21: fit.noise_std: should be greater than 0 or should be 'auto', found -1",
        "line.yaml:22: fit.max-cycle: unknown key; did you mean 'max-cycles'?",
        "line.yaml:23: fit.atempts: unknown key; did you mean 'attempts'?",
        "line.yaml:24: fit.epochs: should be greater than or equal to 1, found 0",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "fit:\n  zzz: 1",
            (
                "line.yaml:2: fit.zzz: unknown key; "
                "known are attempts, epochs, max-cycles, noise_std, retries"
            ),
        ),
        ("LOOP: true", "line.yaml:1: LOOP: unknown key; did you mean 'loop'?"),
        (
            "outputs:\n- {kind: opc}",
            "line.yaml:2: outputs.0.kind: 'opc' is unknown; known are jsonlines, mqtt",
        ),
        ("label:", "line.yaml:1: label: should be a valid string, found null"),
        ("label: true", "line.yaml:1: label: should be a valid string, found true"),
        ("label:\n  a: 1", "line.yaml:1: label: should be a valid string, found a mapping"),
        ("size: {a: 1}", "line.yaml:1: size: should be a list, found a mapping"),
        ("size: 3", "line.yaml:1: size: should be a list, found 3"),
        (
            "size: [1, 2, 3]",
            "line.yaml:1: size: should have at most 2 items after validation, not 3",
        ),
        ("fit: [1]", "line.yaml:1: fit: should be a mapping of keys to values, found a list"),
        ("outputs: [3]", "line.yaml:1: outputs.0: should be a mapping of keys to values, found 3"),
        (
            "fit: {epochs: 1.5}",
            (
                "line.yaml:1: fit.epochs: should be a valid integer, "
                "got a number with a fractional part, found 1.5"
            ),
        ),
        ("exposure_us: nan", "line.yaml:1: exposure_us: should be a finite number, found 'nan'"),
        ("exposure_us: -inf", "line.yaml:1: exposure_us: should be a finite number, found '-inf'"),
        ("exposure_us: 1e999", "line.yaml:1: exposure_us: should be a finite number, found inf"),
        ("exposure_us: .nan", "line.yaml:1: exposure_us: should be a valid number, found '.nan'"),
        ("exposure_us: 1:30", "line.yaml:1: exposure_us: should be a valid number, found '1:30'"),
        (
            "zones: {a: {path: x}, a: {}}",
            "line.yaml:1: zones.a: is given here and on line 1; keep one",
        ),
        ("\nfit:\n  epochs: 13", "line.yaml:2: fit: epochs should not be 13"),
        ("fit: {epochs: !!int x}", "line.yaml:1: fit.epochs: cannot be read as !!int"),
        (
            "label: !env HOME",
            "line.yaml:1: label: has an unknown tag; quote a text that begins with !",
        ),
        (
            "label: !!python/name:os.system x",
            "line.yaml:1: label: cannot be read as !!python/name:os.system",
        ),
        ("label: !!str [a]", "line.yaml:1: label: cannot be read as !!str"),
        (f"exposure_us: {'9' * 5000}", "line.yaml:1: exposure_us: cannot be read as !!int"),
        (f"label: 0x{'f' * 5000}", "line.yaml:1: label: cannot be read as !!int"),
        (f"fit: {{epochs: {'9' * 101}}}", "line.yaml:1: fit.epochs: cannot be read as !!int"),
        (
            f"exposure_us: {'x' * 5000}",
            f"line.yaml:1: exposure_us: should be a valid number, found '{'x' * 199}...",
        ),
        ("notes: !!set {a}", "line.yaml:1: notes: cannot be read as !!set"),
        (
            "label: {{name}}",
            "line.yaml:1: label: a key should be plain text; quote a text that begins with { or [",
        ),
    ],
)
def test_one_problem(tmp_path: Path, text: str, expected: str) -> None:
    assert message(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cameras: [{kind: x, path: a}]", "cameras.0.kind: should be 'jsonlines', found 'x'"),
        ("cameras: [{}]", "cameras.0.path: is missing"),
        ("cameras: []", "cameras: should have at least 1 item after validation, not 0"),
    ],
)
def test_a_list_with_one_wrong_item_is_not_too_short_as_well(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert message(tmp_path, text) == f"line.yaml:1: {expected}"


def test_problems_of_a_union_without_discriminator(tmp_path: Path) -> None:
    assert message(tmp_path, "fallback:\n  kind: mqtt\n  port: x\n").splitlines() == [
        "line.yaml:1: fallback.path: is missing",
        "line.yaml:2: fallback.kind: should be 'jsonlines', found 'mqtt'",
        "line.yaml:3: fallback.port: should be a valid integer, found 'x'",
        "line.yaml:3: fallback.port: unknown key; known are kind, path",
    ]


def test_problems_of_a_union_within_a_union(tmp_path: Path) -> None:
    assert message(tmp_path, "spare:\n  kind: mqtt\n  port: 0\n  prt: 1").splitlines() == [
        "line.yaml:1: spare: should be 'none'",
        "line.yaml:3: spare.port: should be greater than or equal to 1, found 0",
        "line.yaml:4: spare.prt: unknown key; did you mean 'port'?",
    ]


def test_merged_keys_have_the_line_they_are_written_on(tmp_path: Path) -> None:
    text = """\
notes:
  base: &base
    port: 0
outputs:
  - <<: *base
    kind: mqtt
    prt: 1
  - {<<: 3, <<: *base, kind: mqtt}
"""
    assert message(tmp_path, text).splitlines() == [
        "line.yaml:3: outputs.0.port: should be greater than or equal to 1, found 0",
        "line.yaml:7: outputs.0.prt: unknown key; did you mean 'port'?",
        "line.yaml:8: outputs.1.<<: should name mappings",
        "line.yaml:8: outputs.1.<<: is given here and on line 8; keep one",
        "line.yaml:8: outputs.1.port: is missing",
    ]


def test_keys_that_stand_twice_are_all_listed(tmp_path: Path) -> None:
    text = "fit:\n  epochs: 1\n  epochs: 2\nlabel: a\nfit: {}\nlabel: b\nlabel: c\n'on': 1\n"
    assert message(tmp_path, text).splitlines() == [
        "line.yaml:3: fit.epochs: is given here and on line 2; keep one",
        "line.yaml:5: fit: is given here and on line 1; keep one",
        "line.yaml:6: label: is given here and on line 4; keep one",
        "line.yaml:7: label: is given here and on line 4; keep one",
        (
            "line.yaml:8: on: unknown key; known are cameras, exposure_us, fallback, fit, folder, "
            "label, loop, notes, outputs, size, spare, zones"
        ),
    ]


# --- Overrides ----------------------------------------------------------------------------------


def test_overrides_replace_and_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    text = "outputs: [{kind: mqtt, port: 1}]\nfit: {epochs: 3}\nzones: &z {a: {path: q}}\n"
    text += "notes: *z"
    config = load(
        tmp_path,
        text,
        "outputs.0.port=9",
        "fit.noise_std=1e-3",
        "fit.epochs=4",
        "fit.epochs=5",
        "zones.b.path=r s",
        "label='a = b'",
        "size=[3, 4]",
        "fallback=",
    )
    assert config == Line(
        outputs=(Mqtt(port=9),),
        fit=Fit(epochs=5, noise_std=1e-3),
        zones={"a": JsonLines(path=tmp_path / "q"), "b": JsonLines(path=Path("/r s"))},
        notes={"a": {"path": "q"}},
        label="a = b",
        size=(3, 4),
    )


def test_an_override_replaces_what_is_wrong_in_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, "fit: {epochs: 0}", "fit.epochs=1").fit == Fit(epochs=1)


def test_problems_of_overrides_follow_those_of_the_file(tmp_path: Path) -> None:
    found = message(
        tmp_path,
        "loop: 3\noutputs: [{kind: mqtt, port: 1}]\nlabel: x\n",
        "fit.epochs=0",
        "fit.epoch=1",
        "nonsense",
        "fit..epochs=1",
        "size=[1",
        "label.x=1",
        "outputs.1.port=3",
        "zones.a.kind=jsonlines",
        "notes={a: 1, a: 2}",
        "exposure_us=\x00",
        "outputs.0={kind: mqtt, port: 0}",
    )
    assert found.splitlines() == [
        "line.yaml:1: loop: should be a valid boolean, found 3",
        "--set nonsense: should be of the form key.path=value",
        "--set fit..epochs=1: should be of the form key.path=value",
        (
            "--set size=[1: is not YAML: while parsing a flow sequence, expected ',' or ']', "
            "but got '<stream end>'"
        ),
        "--set label.x=1: nothing can be set at 'x' of 'x'",
        "--set outputs.1.port=3: nothing can be set at '1' of a list",
        "--set notes={a: 1, a: 2}: notes.a: is given here and on line 1; keep one",
        "--set exposure_us=\x00: is not YAML: it has the character U+0000",
        (
            "--set outputs.0={kind: mqtt, port: 0}: outputs.0.port: "
            "should be greater than or equal to 1, found 0"
        ),
        "--set zones.a.kind=jsonlines: zones.a.path: is missing",
        "--set fit.epochs=0: fit.epochs: should be greater than or equal to 1, found 0",
        "--set fit.epoch=1: fit.epoch: unknown key; did you mean 'epochs'?",
    ]


# --- Models, schema, writing --------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_strict_models_refuse_what_is_not_finite(value: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Line(exposure_us=value)


def test_strict_models_are_frozen_and_check_their_defaults() -> None:
    class Wrong(StrictModel):
        count: Annotated[int, Field(ge=1)] = 0

    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Wrong()
    with pytest.raises(ValidationError, match="frozen"):
        Line().label = "x"  # type: ignore[misc]


def test_the_schema_is_of_the_file_and_names_its_draft() -> None:
    schema = json_schema(Line)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert schema["properties"]["outputs"]["items"]["discriminator"]["propertyName"] == "kind"
    assert "max-cycles" in schema["$defs"]["Fit"]["properties"]
    assert schema["$defs"]["JsonLines"]["properties"]["path"]["format"] == "path"


def test_written_yaml_is_readable() -> None:
    assert dump_yaml(Fit(epochs=3, noise_std=1e-5)) == (
        "epochs: 3\nnoise_std: 1.0e-05\nmax-cycles: 0\nretries: 0\n"
    )


_TEXTS = st.text() | st.sampled_from(
    ["on", "1e-4", "010", "0x1", "1:30", "~", "=", "<<", "", "1_0"]
)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_subnormal=False, allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(_TEXTS, inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    notes=st.dictionaries(_TEXTS, _VALUES),
    exposure_us=st.floats(-1e300, 1e300, allow_subnormal=False),
    label=_TEXTS,
)
def test_what_is_written_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, notes: Any, exposure_us: float, label: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "line.yaml"
    config = Line(notes=notes, exposure_us=exposure_us, label=label, folder=Path("/x y"))
    path.write_text(dump_yaml(config), encoding="utf-8", newline="")
    assert load_config(path, Line) == config
