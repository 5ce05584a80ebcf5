"""Secret types never print, and a configuration's errors never quote a secret."""

from __future__ import annotations

import copy
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from inspection.config.loading import StrictModel, dump_yaml, json_schema, load_config
from inspection.config.secret import REVEALED, SecretPipeline, SecretText, SecretUrl
from inspection.errors import ConfigError

WORD = "hunter"
ANY = st.text(st.characters(codec="utf-8"), max_size=8)
SIGNS = st.text("@/:?#%&=;+$!*'\"()[]{}<>\\^`|~., -_", max_size=8)


class Place(StrictModel):
    file: str


class Camera(StrictModel):
    url: SecretUrl = SecretUrl("rtsp://host")
    options: dict[str, SecretText] = Field(default_factory=dict)
    pipeline: SecretPipeline = SecretPipeline("videotestsrc")
    password: Place | None = None
    label: str = "x"
    port: int = 1


def shown_by(model: Camera) -> str:
    """Everything that a model or a value shows of itself."""
    whole = [repr(model), str(model), dump_yaml(model), model.model_dump_json()]
    dumped = [str(model.model_dump()), str(model.model_dump(mode="json"))]
    values = [f"{one}{one!r}{[one]}" for one in (model.url, model.options, model.pipeline)]
    return "\n".join([*whole, *dumped, *values])


def validated(url: str) -> tuple[Camera | None, str]:
    """Returns the model, or all that its error prints."""
    try:
        return Camera.model_validate({"url": url}), ""
    except ValidationError as error:
        return None, "".join(traceback.format_exception(error))


@given(ANY | SIGNS, ANY | SIGNS)
def test_an_address_is_refused_or_never_shows_its_password(before: str, behind: str) -> None:
    text = f"rtsp://line3:{before}{WORD}{behind}@host:554/stream1"
    model, problem = validated(text)
    assert WORD not in problem
    if model is None:
        return
    assert WORD not in shown_by(model)
    assert str(model.url) == "rtsp://host:554/stream1"
    assert model.url.reveal() == text
    assert Camera.model_validate_json(model.model_dump_json(context=dict(REVEALED))) == model


@given(SIGNS)
def test_a_password_in_percent_is_never_refused(signs: str) -> None:
    SecretUrl(f"rtsp://{quote(signs, safe='')}:{quote(signs, safe='')}@[::1]:554/stream1")


@given(ANY, ANY)
def test_options_and_pipelines_never_show(one: str, other: str) -> None:
    assume('"' not in one + other)
    assume("\\" not in one + other)
    secret = f"{one}{WORD}{other}"
    pipeline = f'rtspsrc location=rtsp://h user-pw="{secret}" ! decodebin ! videoconvert'
    model = Camera.model_validate({"options": {"headers": secret}, "pipeline": pipeline})
    assert WORD not in shown_by(model)
    assert model.options["headers"].reveal() == secret
    pipeline = f'rtspsrc location="rtsp://line3:{secret}@h/x" ! decodebin ! videoconvert'
    assert str(SecretPipeline(pipeline)) == (
        'rtspsrc location="rtsp://h/x" ! decodebin ! videoconvert'
    )


def test_a_pipeline_shows_its_elements() -> None:
    text = 'rtspsrc location="rtsp://u:hun ter@h/x" latency=0 ! decodebin ! videoconvert'
    assert str(SecretPipeline(text)) == (
        'rtspsrc location="rtsp://h/x" latency=0 ! decodebin ! videoconvert'
    )


def test_a_secret_is_a_value() -> None:
    secret = SecretText("hunter2")
    assert secret == SecretText("hunter2") == copy.deepcopy(secret)
    assert secret != SecretText("other")
    assert secret != secret.reveal()
    assert len({secret, SecretText("hunter2")}) == 1


def test_the_schema_says_that_it_is_written_only() -> None:
    schema = json_schema(Camera)
    assert schema["properties"]["options"]["additionalProperties"] == {
        "type": "string",
        "writeOnly": True,
    }


@pytest.mark.parametrize(
    ("text", "overrides", "expected"),
    [
        ("password: hunter2", [], "line.yaml:1: password: should be a mapping of keys to values"),
        ("password: [hunter2]", [], "line.yaml:1: password: should be a mapping of keys to values"),
        ("password: {file: [hunter2]}", [], "line.yaml:1: password.file: should be a valid string"),
        (
            "",
            ["password=hunter2"],
            "--set password=***: password: should be a mapping of keys to values",
        ),
        (
            "",
            ["port=rtsp://u:hunter2 x@h"],
            ("--set port=rtsp://h: port: should be a valid integer, found 'rtsp://h'"),
        ),
        (
            "label: [rtsp://u:hunter2@h]\nport: u:hunter2@h",
            [],
            (
                "line.yaml:1: label: should be a valid string, found a list\n"
                "line.yaml:2: port: should be a valid integer, found '***@h'"
            ),
        ),
        (
            "url: rtsp://u:hun/ter2@h",
            [],
            (
                "line.yaml:1: url: has an @ behind the host; in a password write %2F for /, %3F "
                "for ? and %23 for #, and elsewhere %40 for @"
            ),
        ),
        (
            "url: rtsp://u:hunter2",
            [],
            (
                "line.yaml:1: url: should have a port from 0 to 65535, or none, behind the host; "
                "in a user or password write %2F for /, %3F for ? and %23 for #"
            ),
        ),
        (
            "url: rtsp://u:hunter 2@h",
            [],
            (
                "line.yaml:1: url: should be an address like scheme://host/path, without spaces; "
                "in a password write %20 for a space"
            ),
        ),
        ("url: [hunter2]", [], "line.yaml:1: url: should be text"),
        (
            "password: !hunter2",
            [],
            "line.yaml:1: password: has an unknown tag; quote a text that begins with !",
        ),
        (
            "password: !hun!ter2",
            [],
            (
                "line.yaml:1:11: is not YAML: while parsing a node, found undefined tag handle; "
                "quote a text that begins with *, & or !"
            ),
        ),
        (
            "password: *hunter2",
            [],
            (
                "line.yaml:1:11: is not YAML: found undefined alias; quote a text that begins with "
                "*, & or !"
            ),
        ),
        (
            "a: &hunter2 1\npassword: &hunter2 1",
            [],
            "line.yaml:2:11: is not YAML: found duplicate anchor",
        ),
    ],
)
def test_errors_do_not_quote_a_secret(
    tmp_path: Path, text: str, overrides: list[str], expected: str
) -> None:
    path = tmp_path / "line.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, Camera, overrides)
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(expected)
    assert "hunter" not in "".join(traceback.format_exception(caught.value))


def test_a_dump_hides_and_stays_readable() -> None:
    model = Camera(url=SecretUrl("http://u:hunter2@h/x?token=a"))
    assert model.model_dump(mode="json")["url"] == "http://h/x?token=***"
