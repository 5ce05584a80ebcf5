"""A person in a browser at the panel of a device, without any package.

PYTHONPATH=FOLDER python3 -m tests.doubles.panel_visit ADDRESS PASSWORD LINE [ONE-TIME-PASSWORD]
opens the pages of the line, and prints as JSON the status of each and the trigger id of the newest
part on the live page. With a one-time password it is the first visit, which chooses the password.
"""

import json
import re
import sys
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.cookiejar import CookieJar
from typing import Any

_WITHIN_S = 20
PAGES = ("live", "recipes", "health", "health/log")


class Visitor:
    """A person who is logged in as admin."""

    def __init__(self, address: str, password: str, one_time: str = "") -> None:
        self._address = address
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        self._browser = urllib.request.build_opener(cookies)
        self._send("/login", name="admin", password=one_time or password, next="/")
        if one_time:
            self.change(
                "/password", "/password", before=one_time, password=password, again=password
            )

    def change(self, form: str, path: str, **fields: str) -> None:
        """Sends the fields to a path, with the token of the page that has the form."""
        (token, *_) = re.findall(r'name="csrf" value="([^"]+)"', self.page(form))
        self._send(path, csrf=token, **fields)

    def page(self, path: str) -> str:
        """Returns the text of a page."""
        with self._open(path) as answer:
            text: str = answer.read().decode()
        return text

    def status(self, path: str) -> int:
        """Returns the status of a page."""
        with self._open(path) as answer:
            return int(answer.status)

    def parts(self, line: str) -> list[Mapping[str, Any]]:
        """Returns the newest parts on the live page of a line, the newest first."""
        with self._open(f"/lines/{line}/live/events") as events:
            rows = (row for row in events if row.startswith(b"data: ") and b"parts" in row)
            found: list[Mapping[str, Any]] = json.loads(next(rows)[len(b"data: ") :])["parts"]
        return found

    def _open(self, path: str) -> Any:
        return self._browser.open(self._address + path, timeout=_WITHIN_S)

    def _send(self, path: str, **fields: str) -> None:
        content = urllib.parse.urlencode(fields).encode()
        headers = {"Origin": self._address}
        request = urllib.request.Request(self._address + path, content, headers)  # noqa: S310
        self._browser.open(request, timeout=_WITHIN_S).read()


def main(address: str, password: str, line: str, one_time: str = "") -> None:
    """Looks at the pages."""
    visitor = Visitor(address, password, one_time)
    pages = {name: visitor.status(f"/lines/{line}/{name}") for name in PAGES}
    print(json.dumps({"pages": pages, "newest": visitor.parts(line)[0]["trigger"]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
