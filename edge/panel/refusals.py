"""A request that the panel refuses, with the text that says why."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - it is the answer to a request, not a defect
    """Ends a request with a page that says why.

    Args:
        status: of HTTP.
        text: key of the text, such as "problem.no_account".
        values: what the text names.
    """

    def __init__(self, status: int, text: str, **values: object) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.values = values
