"""Reads a chapter: titles and prose at the margin, everything else indented.

    # Chapter            ## Story            prose, at the margin

        given
          lender north                       what is there before
        only in the core: time passes        why it is not played over HTTP
        ada buys 120.00 at shop              a step,
          -> approved, authorization $a      what is answered,
          dr loan:ada 120.00  cr …           every row it leaves

Nothing is played here, but every sentence is understood or refused by line.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.scenarios.amounts import minor_of
from tests.scenarios.sentences import understand, wish_of
from tests.scenarios.story import (
    Chapter,
    Closings,
    Expected,
    Fetch,
    Given,
    Misread,
    Pause,
    Premise,
    Prose,
    Reading,
    Row,
    Step,
    Story,
    Wish,
)
from tests.scenarios.values import NotUnderstood, parted

BOOK = Path(__file__).parent
CORE_ONLY = "only in the core:"
DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")

_TIMES = re.compile(r"([\d,]+) times: (.+)")
_ELSEWHERE = re.compile(r"(\S+) lives on another shard")
_ROW = re.compile(r"(dr|cr) +(\S+) +([\d,.]+\d|\d)")


def chapters(folder: Path = BOOK) -> list[Chapter]:
    """The whole book, in the order of the files' names."""
    return [chapter_of(path) for path in sorted(folder.glob("*.txt"))]


def chapter_of(path: Path) -> Chapter:
    """One file.  Raises Misread, naming the line."""
    reader = _Reader(path)
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            reader.line(number, line)
        except NotUnderstood as error:
            raise Misread(path, number, str(error)) from None
    reader.end()
    return reader.chapter


class _Reader:
    """What stands where, line by line."""

    def __init__(self, path: Path) -> None:
        self.chapter = Chapter(path)
        self._story: Story | None = None
        self._given_indent: int | None = None
        self._paragraph: Prose | None = None

    def line(self, number: int, line: str) -> None:
        """One more line."""
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if self._given_indent is not None and (not text or indent > self._given_indent):
            if text:
                self._premise(number, text)
            return
        self._given_indent = None
        if not text:
            self._paragraph = None
        elif indent:
            self._paragraph = None
            self._indented(number, indent, text)
        elif text.startswith("# "):
            self.chapter.title = text[2:]
        elif text.startswith("## "):
            self._begin_story(number, text[3:])
        else:
            self._prose(number, text)

    def end(self) -> None:
        """The file is read: what a whole chapter and its stories must have."""
        chapter = self.chapter
        if not chapter.title or not chapter.stories:
            raise Misread(chapter.path, 1, "no `# Chapter`, or no `## Story` in it")
        for story in chapter.stories:
            _check(story)

    def _begin_story(self, number: int, title: str) -> None:
        shared = self.chapter.given
        given = Given(
            list(shared.premises),
            set(shared.elsewhere),
            shared.today,
            shared.currency,
            list(shared.lines),
            set(shared.dates),
        )
        self._story = Story(self.chapter, number, title, given)
        self._paragraph = None
        self.chapter.stories.append(self._story)

    def _prose(self, number: int, text: str) -> None:
        if self._paragraph is not None:
            self._paragraph.text += f" {text}"
            return
        self._paragraph = Prose(number, text)
        if self._story is None:
            self.chapter.prose.append(self._paragraph)
        else:
            self._story.parts.append(self._paragraph)

    def _indented(self, number: int, indent: int, text: str) -> None:
        if text == "given":
            if self._story is not None and self._story.steps:
                raise NotUnderstood("`given` stands before the first step")
            self._given_indent = indent
            return
        story = self._story
        if story is None:
            raise NotUnderstood("a step before the first `## Story`")
        if text.startswith(CORE_ONLY):
            story.core_only = text.removeprefix(CORE_ONLY).strip()
        elif text.startswith("->"):
            _answered(story, number, text[2:].strip())
        elif text.startswith(("dr ", "cr ")):
            _rows(story, number, text)
        else:
            deed = understand(text, story.given.currency)
            story.parts.append(Step(number, text, deed, last_line=number))
            story.dates.update(DATE.findall(text))

    def _premise(self, number: int, text: str) -> None:
        given = self.chapter.given
        if self._story is not None:
            given = self._story.given
            self._story.own_given.append(text)
        given.lines.append(text)
        if text.startswith("today is "):
            given.today = text.removeprefix("today is ")
        elif text.startswith("currency "):
            given.currency = text.removeprefix("currency ")
        elif match := _ELSEWHERE.fullmatch(text):
            given.elsewhere.add(match[1])
        else:
            given.dates.update(DATE.findall(text))
            wishes = tuple(_wishes(text, given.currency))
            given.premises.append(Premise(number, text, wishes))


def _wishes(text: str, currency: str) -> Iterator[Wish]:
    match = _TIMES.fullmatch(text)
    if match is None:
        yield wish_of(text, currency)
        return
    for count in range(1, int(match[1].replace(",", "")) + 1):
        yield wish_of(match[2].replace("#", str(count)), currency)


def _answered(story: Story, number: int, text: str) -> None:
    step = _step_of(story)
    head, *rest = parted(text, ", ")
    if isinstance(step.deed, Pause | Closings):
        raise NotUnderstood("this answers nothing")
    segments = [head, *rest]
    if isinstance(step.deed, Wish) and not step.expected:
        words = head.split()
        if len(words) > 2:
            raise NotUnderstood(
                "an answer begins with its status (and reason), such as `approved`"
                " or `declined credit_limit_exceeded`"
            )
        step.expected.append(Expected(number, "status", words[0]))
        if len(words) == 2:
            step.expected.append(Expected(number, "reason", words[1]))
        segments = rest
    step.expected += [_expected(number, segment) for segment in segments]
    step.last_line = number
    story.dates.update(DATE.findall(text))


def _expected(number: int, segment: str) -> Expected:
    if segment.endswith('"') and ' "' in segment:
        words, _, value = segment[:-1].partition(' "')
        return Expected(number, words, value)
    words, _, value = segment.rpartition(" ")
    if not words:
        return Expected(number, segment, "yes")
    return Expected(number, words, value)


def _rows(story: Story, number: int, text: str) -> None:
    step = _step_of(story)
    if isinstance(step.deed, Reading | Fetch):
        raise NotUnderstood("reading leaves no rows")
    if _ROW.sub("", text).strip():
        raise NotUnderstood("a row is `dr account amount` or `cr account amount`")
    for side, account, written in _ROW.findall(text):
        minor = minor_of(written, story.given.currency)
        if not minor:
            raise NotUnderstood(f"{written!r} is no amount of {story.given.currency}")
        leg = (account, minor if side == "dr" else -minor)
        step.rows.append(Row(number, leg))
    step.last_line = number


def _step_of(story: Story) -> Step:
    if not story.parts or not isinstance(story.parts[-1], Step):
        raise NotUnderstood("this belongs to a step, and there is none before it")
    return story.parts[-1]


def _check(story: Story) -> None:
    path = story.chapter.path
    if not story.steps:
        raise Misread(path, story.line, "a story without a step")
    story.dates |= story.given.dates
    if story.given.today:
        story.dates.add(story.given.today)
    elif story.dates:
        raise Misread(path, story.line, "it names days, so `given` needs `today is …`")
    for step in story.steps:
        is_pause = isinstance(step.deed, Pause)
        if is_pause and not story.core_only:
            raise Misread(
                path, step.line, f"time passes, so say `{CORE_ONLY} time passes`"
            )
