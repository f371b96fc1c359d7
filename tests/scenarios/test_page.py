"""The documentation page shows the book as it is, and the gateway serves it."""

from html.parser import HTMLParser

from starlette.applications import Starlette
from starlette.routing import Route

from gateway.docs import docs_routes
from tests.scenarios.page import PAGE, page
from tests.scenarios.reader import chapters

_UNCLOSED = {"meta"}


class Page(HTMLParser):
    """What is linked, what can be linked to, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _UNCLOSED:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name == "href":
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_shows_the_stories_as_they_are() -> None:
    is_new = PAGE.read_text() == page()

    assert is_new, "stories changed: run `python -m tests.scenarios page`"


def test_the_page_is_sound_and_leads_to_every_story() -> None:
    read = Page(page())
    stories = [story for chapter in chapters() for story in chapter]

    assert [] == read.open
    assert len(set(read.ids)) == len(read.ids)
    assert {link[1:] for link in read.links if link[0] == "#"} == set(read.ids)
    assert {story.slug for story in stories} < set(read.ids)


def test_the_gateway_serves_the_page() -> None:
    app = Starlette(routes=docs_routes())

    paths = [route.path for route in app.routes if isinstance(route, Route)]

    assert "/docs/scenarios" in paths
