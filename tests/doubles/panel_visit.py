"""A browser's first visit to the panel of a device, as a script without any package.

python3 panel_visit.py ADDRESS ONE-TIME-PASSWORD LINE: chooses a password, opens the pages of the
line and prints as JSON the status of each, and the trigger id of the newest part on the live page.
"""

import json
import re
import secrets
import sys
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

address, one_time, line = sys.argv[1:]
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))


def post(path: str, **form: str) -> None:
    content = urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(address + path, content, {"Origin": address})  # noqa: S310
    browser.open(request, timeout=20).read()


def page(path: str) -> str:
    text: str = browser.open(address + path, timeout=20).read().decode()
    return text


post("/login", name="admin", password=one_time, next="/")
tokens = re.findall(r'name="csrf" value="([^"]+)"', page("/password"))
chosen = secrets.token_urlsafe(16)
post("/password", csrf=tokens[0], before=one_time, password=chosen, again=chosen)
pages = {}
for name in ("live", "recipes", "health", "health/log"):
    with browser.open(f"{address}/lines/{line}/{name}", timeout=20) as answer:
        pages[name] = answer.status
snapshot = {}
with browser.open(f"{address}/lines/{line}/live/events", timeout=20) as events:
    for row in events:
        if row.startswith(b"data: ") and b"parts" in row:
            snapshot = json.loads(row[6:])
            break
print(json.dumps({"pages": pages, "snapshot": snapshot}))
