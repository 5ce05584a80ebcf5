"""Takes passwords and tokens out of texts: messages, logs, names of cameras, pages.

Hidden are, in every address: user and password, values of the query but for harmless keys, the
fragment, and parts of the path that look like a token; in every text: `password=...` and the like,
and an `Authorization` header. User and password end at the last `@` of an address (RFC 3986,
section 3.2.1, allows none behind it), so that a password with an `@` or a `/` is hidden whole.
"""

from __future__ import annotations

import logging
import re

HIDDEN = "***"

_SENSITIVE = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|pw|secret|token|credentials?|auth|signature|sig"
    r"|api[_-]?key|access[_-]?key)"
)
_NAME = re.compile(rf"(?:.*[._-])?{_SENSITIVE}", re.IGNORECASE)
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
_QUOTED = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"
_QUOTED_TEXT = re.compile(_QUOTED, re.DOTALL)
# Punctuation of the sentence behind an address, or a quotation mark, is not of the address.
_ADDRESS = re.compile(rf"({_SCHEME})(?:\S*@)?([^\s\"]*?)(?=[]:;,.')}}]*(?:[\s\"]|$))")
_VALUE_ADDRESS = re.compile(rf"({_SCHEME})(?:.*@)?(.*)", re.DOTALL)
_WITHOUT_SCHEME = re.compile(r"[^@]*:.*@", re.DOTALL)
_ASSIGNMENT = re.compile(
    rf"(?<![?&;\w])((?:[\w-]+-)?{_SENSITIVE}\s*=\s*)(?:{_QUOTED}|(?:\\.|[^\s\\])+?(?=[:;,.)]*(?:\s|$)))",
    re.IGNORECASE | re.DOTALL,
)
# A cookie is `name=value`: "bundles/cookie: exists" is a message about a bundle of cookies.
_HEADER = re.compile(
    r"((?:proxy-)?authorization|x-api-key|cookie(?=\s*:\s*[^\s=;]+=))(\s*:\s*)[^\r\n]*",
    re.IGNORECASE,
)
_QUERY_ITEM = re.compile(r"([?&;])([^=&;]*)(=?)([^&;]*)")
_IN_PATH = re.compile(rf"((?:user|pass|{_SENSITIVE})=)[^/]*", re.IGNORECASE)
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_LONG_RUN = r"(?=[^/]*\d)[A-Za-z0-9_-]*[A-Za-z0-9]{16}[A-Za-z0-9_-]*"
_TOKEN = re.compile(rf"(?<=/)(?:{_UUID}|{_LONG_RUN})")
# Channel, stream and format of cameras and recorders: a name without them does not tell two
# streams of one device apart.
_HARMLESS = frozenset(
    {
        "camera", "channel", "codec", "compression", "format", "fps", "overlay", "profile",
        "proto", "resolution", "stream", "streamtype", "subtype", "transportmode", "unicast",
        "videocodec",
    }
)  # fmt: skip


def redacted(text: str) -> str:
    """Returns prose without the secrets of the addresses in it; an address ends at a space."""
    return _without_assignments(_ADDRESS.sub(_shown_address, text))


def redacted_value(text: str) -> str:
    """Returns one value without its secrets. A space does not end it, and a scheme may lack."""
    address = _VALUE_ADDRESS.search(text)
    # A user before the first scheme: what looks like a scheme is in the password.
    if address is None or ":" in text[: address.start()]:
        text = _WITHOUT_SCHEME.sub(f"{HIDDEN}@", text, count=1)
    return _without_assignments(_VALUE_ADDRESS.sub(_shown_address, text))


def redacted_pipeline(text: str) -> str:
    """Returns a pipeline for gst-launch without its secrets; spaces may be in quotation marks."""
    text = _QUOTED_TEXT.sub(
        lambda found: _VALUE_ADDRESS.sub(_shown_address, found[0]), _without_assignments(text)
    )
    return " ! ".join(_VALUE_ADDRESS.sub(_shown_address, one) for one in text.split(" ! "))


def names_a_secret(key: str) -> bool:
    """Returns True when a value under this key should not be shown: `password`, `mqtt_token`."""
    return _NAME.fullmatch(key) is not None


class RedactingFormatter(logging.Formatter):
    """Formats log lines, tracebacks too, without secrets: libraries quote addresses."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        return redacted(super().format(record))


def _shown_address(found: re.Match[str]) -> str:
    scheme, rest = found.groups()
    rest, has_fragment, _ = rest.partition("#")
    path, mark, query = rest.partition("?")
    path = _TOKEN.sub(HIDDEN, _IN_PATH.sub(rf"\1{HIDDEN}", path))
    query = _QUERY_ITEM.sub(_shown_item, mark + query)
    return scheme + path + query + (f"#{HIDDEN}" if has_fragment else "")


def _shown_item(found: re.Match[str]) -> str:
    separator, key, equals, _ = found.groups()
    if not key or key.lower() in _HARMLESS:
        return found[0]
    return f"{separator}{key}={HIDDEN}" if equals else separator + HIDDEN


def _without_assignments(text: str) -> str:
    text = _HEADER.sub(rf"\1\2{HIDDEN}", text)
    return _ASSIGNMENT.sub(rf"\g<1>{HIDDEN}", text)
