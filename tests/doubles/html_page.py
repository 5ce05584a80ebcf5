"""HTML pages as a reader sees them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "img", "br"}


@dataclass
class Page(HTMLParser):
    """Tags, links and texts of a page; each tag must be closed in order."""

    html: str
    tags: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    open_tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()
        assert not self.open_tags

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in _VOID:
            self.open_tags.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "srcset", "action", "data"}:
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open_tags and data.strip():
            self.text.append(" ".join(data.split()))
