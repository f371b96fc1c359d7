"""What a scenario book is made of, once it is read.

Values are kept as the story writes them ("story form"): names without the tag
that keeps stories apart, captured ids as `$word`, days as in the story.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.routes import CommandRoute, QueryRoute

Answer = dict[str, Any]
Leg = tuple[str, int]  # A ledger account; debit positive, credit negative.


class Misread(Exception):
    """A line is not of the format; the message names file and line."""

    def __init__(self, path: Path, line: int, text: str) -> None:
        super().__init__(f"{shown(path)}:{line}: {text}")


def shown(path: Path) -> str:
    """A path as messages name it: from the folder people run the tests in."""
    cwd = Path.cwd()
    return str(path.relative_to(cwd) if path.is_relative_to(cwd) else path)


@dataclass(frozen=True)
class Wish:
    """A command to be sent; `fields` in story form, as the API names them."""

    route: CommandRoute
    fields: dict[str, Any]
    request_id: str = ""  # Only where the story says so.


@dataclass(frozen=True)
class Reading:
    """A GET of one object."""

    route: QueryRoute
    object_id: str


@dataclass(frozen=True)
class Fetch:
    """A GET of a path as it stands; only a server can answer it."""

    path: str


@dataclass(frozen=True)
class Closings:
    """Day after day is closed, until one is open."""

    close: CommandRoute
    current: QueryRoute
    until: str


@dataclass(frozen=True)
class Pause:
    """Time that passes."""

    seconds: int


Deed = Wish | Reading | Fetch | Closings | Pause


@dataclass(frozen=True)
class Expected:
    """One field of an answer: its name in the story's words, and its value."""

    line: int
    words: str
    value: str


@dataclass(frozen=True)
class Row:
    """One side of a posting that a step must leave."""

    line: int
    leg: Leg


@dataclass
class Prose:
    """A paragraph."""

    line: int
    text: str


@dataclass
class Step:
    """One thing that happens, what is answered, and the rows it leaves."""

    line: int
    sentence: str
    deed: Deed
    expected: list[Expected] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    last_line: int = 0


@dataclass(frozen=True)
class Premise:
    """A line of `given` that sends commands; each must be approved."""

    line: int
    sentence: str
    wishes: tuple[Wish, ...]


@dataclass
class Given:
    """What is there before a story begins."""

    premises: list[Premise] = field(default_factory=list)
    elsewhere: set[str] = field(default_factory=set)  # Accounts on another shard.
    today: str = ""
    currency: str = "EUR"
    lines: list[str] = field(default_factory=list)  # As written.
    dates: set[str] = field(default_factory=set)  # But for today.


@dataclass
class Story:
    """A title, prose and steps; `given` includes what the chapter gives."""

    chapter: "Chapter"
    line: int
    title: str
    given: Given
    parts: list[Prose | Step] = field(default_factory=list)
    own_given: list[str] = field(default_factory=list)
    core_only: str = ""  # Why it cannot be played over HTTP.
    dates: set[str] = field(default_factory=set)

    @property
    def steps(self) -> list[Step]:
        return [part for part in self.parts if isinstance(part, Step)]

    @property
    def slug(self) -> str:
        """The title as a word: for links, and for the names of tests."""
        words = "".join(c if c.isalnum() else " " for c in self.title.lower())
        return "-".join(words.split())

    @property
    def name(self) -> str:
        return f"{self.chapter.slug}/{self.slug}"


@dataclass
class Chapter:
    """One file."""

    path: Path
    title: str = ""
    prose: list[Prose] = field(default_factory=list)
    given: Given = field(default_factory=Given)
    stories: list[Story] = field(default_factory=list)

    @property
    def slug(self) -> str:
        return self.path.stem

    def __iter__(self) -> Iterator[Story]:
        return iter(self.stories)
