"""The book as one page of plain HTML, without a script.

`gateway/scenarios.html` is this page; a test holds the two together.  It is
made from the stories' text and the table of routes alone, so that it changes
only when they do.
"""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

import msgspec

from tests.scenarios.amounts import money
from tests.scenarios.printed import row_table
from tests.scenarios.reader import chapters
from tests.scenarios.story import (
    Chapter,
    Closings,
    Deed,
    Expected,
    Fetch,
    Leg,
    Pause,
    Prose,
    Reading,
    Row,
    Step,
    Story,
    Wish,
)

PAGE = Path(__file__).parents[2] / "gateway" / "scenarios.html"

_STYLE = """
body{font:16px/1.5 sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;
color:#222}
h2{margin-top:3rem;border-bottom:2px solid #ccc}h3{margin-top:2.5rem}
a{color:#0b5394}nav ol ol{columns:2;font-size:.9rem}
.given{background:#f4f4f4;padding:.5rem 1rem;font:14px/1.5 monospace;
white-space:pre-wrap}
.step{margin:1rem 0;padding-left:1rem;border-left:3px solid #bbb}
.step>p{margin:.15rem 0}.said{font-weight:bold}
.sent,.note{font:13px/1.4 monospace;color:#666;overflow-wrap:anywhere}
.approved{color:#1a6b2d}.declined,.refused{color:#a32020}
table{border-collapse:collapse;font:13px/1.4 monospace;margin:.3rem 0}
td,th{padding:0 1rem 0 0;text-align:left;font-weight:normal}th{color:#888}
td.amount{text-align:right;padding-right:2rem}
"""


def page(book: list[Chapter] | None = None) -> str:
    """The whole page."""
    book = chapters() if book is None else book
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Forebay: the scenario book</title>\n<style>{_STYLE}</style>\n"
        "</head>\n<body>\n<h1>The scenario book</h1>\n"
        "<p>What Forebay does, told as short stories. Every answer and every ledger row"
        " on this page is checked by a test, in the core and over HTTP; fields that a"
        ' story does not name are in <a href="/docs">the API document</a>.</p>\n'
        "<p>A row is one side of a posting; what belongs together stands together."
        " Amounts are in major units here, on the wire in whole minor units.</p>\n"
    ]
    parts += _contents(book)
    for chapter in book:
        parts += _chapter(chapter)
    parts.append("</body>\n</html>\n")
    return "".join(parts)


def _contents(book: list[Chapter]) -> Iterator[str]:
    yield "<nav><ol>\n"
    for chapter in book:
        yield f'<li><a href="#{chapter.slug}">{_text(chapter.title)}</a><ol>\n'
        for story in chapter:
            yield f'<li><a href="#{story.slug}">{_text(story.title)}</a></li>\n'
        yield "</ol></li>\n"
    yield "</ol></nav>\n"


def _chapter(chapter: Chapter) -> Iterator[str]:
    yield f'<h2 id="{chapter.slug}">{_text(chapter.title)}</h2>\n'
    for prose in chapter.prose:
        yield f"<p>{_text(prose.text)}</p>\n"
    if chapter.given.lines:
        yield "<p>Every story of this chapter begins with:</p>\n"
        yield _given(chapter.given.lines)
    for story in chapter:
        yield from _story(story)


def _given(lines: list[str]) -> str:
    return f'<div class="given">{escape(chr(10).join(lines), quote=False)}</div>\n'


def _story(story: Story) -> Iterator[str]:
    yield f'<h3 id="{story.slug}">{_text(story.title)}</h3>\n'
    if story.core_only:
        yield f'<p class="note">Only in the core: {_text(story.core_only)}.</p>\n'
    parts = list(story.parts)
    while parts and isinstance(parts[0], Prose):
        yield f"<p>{_text(parts.pop(0).text)}</p>\n"  # type: ignore[union-attr]
    if story.own_given:
        yield _given(story.own_given)
    for part in parts:
        if isinstance(part, Prose):
            yield f"<p>{_text(part.text)}</p>\n"
        else:
            yield from _step(story, part)


def _step(story: Story, step: Step) -> Iterator[str]:
    yield f'<div class="step"><p class="said">{_text(step.sentence)}</p>\n'
    sent = _sent(step.deed)
    if sent:
        yield f'<p class="sent">{escape(sent, quote=False)}</p>\n'
    if step.expected:
        yield _answer(step.expected, isinstance(step.deed, Wish))
    if step.rows:
        yield from _rows(step.rows, story.given.currency)
    yield "</div>\n"


def _sent(deed: Deed) -> str:
    """What goes over the wire."""
    if isinstance(deed, Pause):
        return ""
    if isinstance(deed, Closings):
        return f"POST {deed.close.path}, a day at a time"
    if isinstance(deed, Fetch):
        return f"GET {deed.path}"
    if isinstance(deed, Reading):
        route = deed.route
        return f"GET {_path(route.path, route.parameter, deed.object_id)}"
    body = dict(deed.fields)
    parameter = deed.route.parameter
    named = str(body.pop(parameter)) if parameter else ""
    key = f"  Idempotency-Key: {deed.request_id}" if deed.request_id else ""
    path = _path(deed.route.path, parameter, named)
    return f"POST {path} {msgspec.json.encode(body).decode()}{key}"


def _path(path: str, parameter: str | None, value: str) -> str:
    return path.replace(f"{{{parameter}}}", quote(value, safe="$"))


def _answer(expected: list[Expected], has_status: bool) -> str:
    heads = ("status", "reason") if has_status else ()
    head = " ".join(wanted.value for wanted in expected if wanted.words in heads)
    parts = [head] if head else []
    parts += [f"{w.words} {w.value}" for w in expected if w.words not in heads]
    kind = head.split(" ")[0] if has_status else "shown"
    return f'<p class="{kind}">→ {_text(", ".join(parts))}</p>\n'


def _rows(rows: list[Row], currency: str) -> Iterator[str]:
    yield "<table><tr><th>debit</th><th></th><th>credit</th><th></th></tr>\n"
    for line in row_table([row.leg for row in rows]):
        cells = "".join(_cell(leg, currency) for leg in line)
        yield f"<tr>{cells}</tr>\n"
    yield "</table>\n"


def _cell(leg: Leg | None, currency: str) -> str:
    if leg is None:
        return "<td></td><td></td>"
    account, minor = leg
    amount = money(abs(minor), currency)
    return f'<td>{_text(account)}</td><td class="amount">{amount}</td>'


def _text(text: str) -> str:
    return escape(text, quote=False)
