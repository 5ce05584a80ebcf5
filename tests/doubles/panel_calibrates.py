"""A person who calibrates the bundle of a line at the panel, with good parts from the line.

PYTHONPATH=FOLDER python3 -m tests.doubles.panel_calibrates ADDRESS PASSWORD LINE BUNDLE IMAGES
collects so many images of parts that passed, starts the job and waits for its end. It prints the
text of the job on the page.
"""

import json
import re
import sys
import time
import urllib.error

from tests.doubles.panel_visit import Visitor

PART, WHY = "flange", "the study"
_LIMIT_S = 180.0
_LOOK_S = 0.3


def collect(visitor: Visitor, line: str, images: int) -> None:
    """Begins a part, and collects images of parts that passed."""
    teach = f"/lines/{line}/teach"
    visitor.change(teach, f"{teach}/new", name=PART, view="", why=WHY)
    until_s = time.monotonic() + _LIMIT_S
    while _collected(visitor.page(f"{teach}/{PART}/status")) < images:
        assert time.monotonic() < until_s, "the line showed too few good parts"
        newest = json.loads(visitor.page(f"{teach}/{PART}/live"))["trigger_id"]
        passed = {one["trigger"] for one in visitor.parts(line) if one["verdict"] == "PASS"}
        if newest in passed:
            _collect(visitor, f"{teach}/{PART}", newest)


def _collect(visitor: Visitor, path: str, trigger_id: str) -> None:
    try:
        visitor.change(path, f"{path}/collect", trigger_id=trigger_id, why=WHY)
    except urllib.error.HTTPError as error:
        if error.code != 409:  # it has the same picture already, or no longer holds the frame
            raise


def _collected(page: str) -> int:
    (count,) = re.findall(r'<meter .*value="(\d+)"', page)
    return int(count)


def calibrate(visitor: Visitor, line: str, bundle: str) -> str:
    """Calibrates with the collected images; returns the text of the job after its end."""
    path = f"/lines/{line}/teach/{PART}"
    wishes = {"bundle": bundle, "recipe": "default", "false-reject-rate": "0.4"}
    visitor.change(path, f"{path}/start", kind="calibrate", why=WHY, **wishes)
    until_s = time.monotonic() + _LIMIT_S
    while 'data-open=""' not in (page := visitor.page(f"{path}/job")):
        assert time.monotonic() < until_s, page
        time.sleep(_LOOK_S)
    return re.sub(r"<[^>]+>", " ", page)


def main(address: str, password: str, line: str, bundle: str, images: str) -> None:
    """Collects and calibrates."""
    visitor = Visitor(address, password)
    collect(visitor, line, int(images))
    print(" ".join(calibrate(visitor, line, bundle).split()))


if __name__ == "__main__":
    main(*sys.argv[1:])
