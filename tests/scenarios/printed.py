"""A story as it really went, in its own format: to paste, and to review.

What the author wrote stays, line by line; answers and rows are those that
came.  Where an answer was not written at all, the whole of it is shown.
"""

from collections.abc import Iterator
from itertools import zip_longest
from operator import itemgetter
from pathlib import Path

from tests.scenarios.amounts import money
from tests.scenarios.in_core import CoreStage
from tests.scenarios.ledger import Ledger
from tests.scenarios.player import Play, Played, play, rows_of
from tests.scenarios.reader import chapter_of
from tests.scenarios.story import Leg, Step

WIDTH = 96
_INDENT = "      "
Line = tuple[Leg | None, Leg | None]  # A debit beside a credit.


def printed(path: Path) -> str:
    """The file with the answers and rows that came in the core."""
    lines = path.read_text().splitlines()
    replaced: dict[int, tuple[Step, list[str]]] = {}
    notes: list[str] = []
    for story in chapter_of(path):
        stage = CoreStage()
        going = play(story, stage, goes_on=True)
        ledger = stage.ledger()
        notes += [text for _, text in going.complaints if "was answered" in text]
        for played in going.steps:
            told = list(_told(going, played, ledger))
            replaced[played.step.line] = (played.step, told)
    out: list[str] = []
    number = 1
    while number <= len(lines):
        out.append(lines[number - 1])
        if number in replaced:
            step, told = replaced[number]
            out += told
            number = max(number, step.last_line)
        number += 1
    return "\n".join(out + notes) + "\n"


def _told(going: Play, played: Played, ledger: Ledger) -> Iterator[str]:
    yield from _wrapped(played.retold)
    records = rows_of(going, played, ledger, is_alone=True)
    yield from row_lines(records, going.story.given.currency)


def _wrapped(parts: list[str]) -> Iterator[str]:
    """The parts of an answer, on as many lines as they need."""
    line = ""
    for part in parts:
        if line and len(f"{line}, {part}") > WIDTH:
            yield line
            line = ""
        line = f"{line}, {part}" if line else f"{_INDENT}-> {part}"
    if line:
        yield line


def row_lines(records: list[list[Leg]], currency: str) -> Iterator[str]:
    """Debits at the left, credits at the right, balanced groups together."""
    lines = [line for legs in records for line in row_table(legs)]
    if not lines:
        return
    columns = [[line[i] for line in lines] for i in (0, 1)]
    texts = [
        _column(side, column, currency)
        for side, column in zip(("dr", "cr"), columns, strict=True)
    ]
    for debit, credit in zip(*texts, strict=True):
        yield f"{_INDENT}{debit}   {credit}".rstrip()


def row_table(legs: list[Leg]) -> list[Line]:
    """The legs of a record as lines, each a debit, a credit, or both.

    What follows each other for one owner and one amount stands side by side;
    of the rest, whatever balances stands together.
    """
    left = list(enumerate(legs))
    lines: list[tuple[int, list[Line]]] = []
    for number in range(len(legs) - 1):
        one, other = legs[number], legs[number + 1]
        pair = [(number, one), (number + 1, other)]
        if pair[0] in left and _is_pair(one, other):
            left = [numbered for numbered in left if numbered not in pair]
            lines.append((number, [_side_by_side(one, other)]))
    lines += _balanced(left)
    return [line for _, group in sorted(lines, key=itemgetter(0)) for line in group]


def _is_pair(one: Leg, other: Leg) -> bool:
    owners = {account.partition(":")[2] for account, _ in (one, other)}
    return one[1] == -other[1] and len(owners) == 1


def _side_by_side(one: Leg, other: Leg) -> Line:
    return (one, other) if one[1] > 0 else (other, one)


def _balanced(left: list[tuple[int, Leg]]) -> Iterator[tuple[int, list[Line]]]:
    """Cut wherever what came so far balances."""
    group: list[tuple[int, Leg]] = []
    for number, leg in left:
        group.append((number, leg))
        if sum(minor for _, (_, minor) in group) == 0 or (number, leg) == left[-1]:
            debits = [leg for _, leg in group if leg[1] > 0]
            credits = [leg for _, leg in group if leg[1] < 0]
            yield group[0][0], list(zip_longest(debits, credits))
            group = []


def _column(side: str, column: list[Leg | None], currency: str) -> list[str]:
    legs = [leg for leg in column if leg is not None]
    names = max((len(name) for name, _ in legs), default=0)
    amounts = [money(abs(minor), currency) for _, minor in legs]
    width = max((len(amount) for amount in amounts), default=0)
    blank = " " * (len(side) + names + width + 2)
    return [
        blank
        if leg is None
        else f"{side} {leg[0]:{names}} {money(abs(leg[1]), currency):>{width}}"
        for leg in column
    ]
