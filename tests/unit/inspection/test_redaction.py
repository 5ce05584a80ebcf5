"""No secret of an address is left in a text, whatever characters it has."""

import json
import logging
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inspection.redaction import RedactingFormatter, names_a_secret, redacted, redacted_value

# Any password with this word in it leaks when the word is seen.
WORD = "hunter"
ODD = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), max_size=8)
ODD_WITH_SPACES = st.text(st.characters(codec="utf-8"), max_size=8)
SIGNS = st.text("@/:?#%&=;+$!*'\"()[]{}<>\\^`|~.,-_", max_size=8)
SCHEMES = st.sampled_from(["rtsp", "rtsps", "http", "https", "mqtt", "opc.tcp", "srt"])


@given(SCHEMES, ODD | SIGNS, ODD | SIGNS)
def test_a_password_in_prose(scheme: str, before: str, behind: str) -> None:
    address = f"{scheme}://line3:{before}{WORD}{behind}@192.168.0.90:554/stream1"
    for text in (address, f"cannot open '{address}': refused", f'POST "{address}" 200'):
        shown = redacted(text)
        assert WORD not in shown
        assert "192.168.0.90:554/stream1" in shown
        assert redacted(shown) == shown


@given(SCHEMES, ODD | SIGNS)
def test_a_password_that_a_client_wrote_in_percent(scheme: str, odd: str) -> None:
    address = f"{scheme}://{quote(odd)}:{quote(odd + WORD + odd, safe='')}@host/stream"
    assert redacted(f"GET {address} failed") == f"GET {scheme}://host/stream failed"


@given(ODD_WITH_SPACES | SIGNS, ODD_WITH_SPACES | SIGNS)
@example(before="", behind="://")
@example(before="a ", behind="://b")
def test_a_password_in_one_value(before: str, behind: str) -> None:
    password = f"{before}{WORD}{behind}"
    assert WORD not in redacted_value(f"rtsp://line3:{password}@host/stream")
    assert WORD not in redacted_value(f"line3:{password}@host")


@given(st.sampled_from(["password", "passwd", "token", "user-pw", "api_key"]), ODD | SIGNS)
def test_a_password_in_a_query(key: str, odd: str) -> None:
    odd = odd.replace("&", "").replace(";", "").replace("@", "").replace('"', "").replace("#", "")
    shown = redacted(f"GET http://host/cgi?channel=1&{key}={odd}{WORD} failed")
    assert shown == f"GET http://host/cgi?channel=1&{key}=*** failed"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://host:554/x?channel=1&subtype=0", "rtsp://host:554/x?channel=1&subtype=0"),
        ("http://host/x?code=a#b: 404", "http://host/x?code=***#***: 404"),
        ("rtsp://host/user=admin_password=a1_channel=1.sdp", "rtsp://host/user=***"),
        (
            "https://hooks.slack.com/services/T0001/B0001/a1b2c3d4e5f6g7h8i9j0k1l2",
            "https://hooks.slack.com/services/T0001/B0001/***",
        ),
        ("rtsps://host:7441/6e56e3f2-97b2-4c3a-a4b4-0c6b4f0a4a55", "rtsps://host:7441/***"),
        ("rtsp://host/axis-media/media.amp", "rtsp://host/axis-media/media.amp"),
        ("rtsp://host/h264Preview_01_main", "rtsp://host/h264Preview_01_main"),
        ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234"),
        ("rtspsrc user-id=a user-pw=b ! decodebin", "rtspsrc user-id=a user-pw=*** ! decodebin"),
        ("rtspsrc user-pw = 'a b' ! x", "rtspsrc user-pw = *** ! x"),
        ("Authorization: Basic bGluZTM6aHVudGVy", "Authorization: ***"),
        ("Set-Cookie: session=a1; Path=/", "Set-Cookie: ***"),
        ("bundles/cookie: exists; choose another", "bundles/cookie: exists; choose another"),
        ("/etc/mqtt-password: cannot be read", "/etc/mqtt-password: cannot be read"),
        ("12 PASS, 3 REJECT, passes=4", "12 PASS, 3 REJECT, passes=4"),
        ("somebody@example.com", "somebody@example.com"),
    ],
)
def test_the_rest_stays(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_json_keeps_its_other_values() -> None:
    record = {"source": "http://host/x?token=abc", "message": "12 px", "note": "a?b=c"}
    text = json.dumps(record, separators=(",", ":"))
    assert json.loads(redacted(text)) == {**record, "source": "http://host/x?token=***"}


def test_log_lines_and_their_tracebacks() -> None:
    error = ValueError("no route to rtsp://line3:hunter2@host/x")
    told = (ValueError, error, None)
    record = logging.LogRecord("x", 30, "x", 1, "%s", ("http://u:hunter2@h",), told)
    shown = RedactingFormatter("%(message)s").format(record)
    assert "hunter2" not in shown
    assert "no route to rtsp://host/x" in shown


def test_keys_that_name_a_secret() -> None:
    secret = ["password", "Passwd", "mqtt_token", "api-key", "secret", "wifi.passphrase"]
    assert all(map(names_a_secret, secret))
    assert not any(map(names_a_secret, ["pass", "key_file", "passes", "author", "topic", "signal"]))
