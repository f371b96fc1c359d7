"""Plays a story on a stage, and says where it went otherwise than told."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.scenarios.amounts import money
from tests.scenarios.answers import differences, retold
from tests.scenarios.ledger import Ledger, Mark
from tests.scenarios.names import Names, NotCaught
from tests.scenarios.stage import Stage, Told
from tests.scenarios.story import (
    LEAVES_ROWS,
    Answer,
    Closings,
    Fetch,
    Leg,
    Pause,
    Reading,
    Step,
    Story,
    Wish,
    WorkingOut,
    shown,
)


@dataclass
class Played:
    """One step as it went."""

    step: Step
    told: Told | None
    before: Mark
    after: Mark
    retold: list[str]


@dataclass
class Play:
    """A story as it went; `complaints` by line of the story."""

    story: Story
    names: Names
    steps: list[Played] = field(default_factory=list)
    complaints: list[tuple[int, str]] = field(default_factory=list)

    def complain(self, line: int, text: str) -> None:
        """Note what went otherwise."""
        self.complaints.append((line, text))

    @property
    def report(self) -> str:
        """Everything that went otherwise, by file and line; empty if nothing."""
        path = shown(self.story.chapter.path)
        return "\n".join(
            f"{path}:{line}: {self.story.title}\n{text}"
            for line, text in sorted(self.complaints)
        )


def play(story: Story, stage: Stage, *, goes_on: bool = False) -> Play:
    """Play a story to its end, or to its first wrong answer.

    With `goes_on` to its end anyway.
    """
    names = stage.names_for(story)
    going = Play(story, names)
    if not _furnish(going, stage):
        return going
    before = stage.mark()
    for step in story.steps:
        try:
            told = _carry_out(step, stage, names)
        except NotCaught as error:
            going.complain(step.line, f"    {step.sentence}\n  {error}")
            return going
        except Exception as error:
            path = shown(story.chapter.path)
            error.add_note(f"while {path}:{step.line} was played: {step.sentence}")
            raise
        is_right = _judge(going, step, told) and _is_the_same_again(going, step, told)
        leaves_rows = isinstance(step.deed, LEAVES_ROWS)
        after = stage.mark() if leaves_rows else before
        words = _retold(step, told, names, story.given.currency)
        going.steps.append(Played(step, told, before, after, words))
        before = after
        if not is_right and not goes_on:
            break
    return going


def _furnish(going: Play, stage: Stage) -> bool:
    names = going.names
    for number, premise in enumerate(going.story.given.premises):
        wishes = [names.real(wish.fields) for wish in premise.wishes]
        route = premise.wishes[0].route
        for told in stage.ask_all(route, f"given-{number}", wishes):
            if told.answer["status"] != "approved":
                came = _line_of(names.story(told.answer))
                going.complain(
                    premise.line, f"    {premise.sentence}\n  was answered {came}"
                )
                return False
    return True


def _carry_out(step: Step, stage: Stage, names: Names) -> Told | None:
    deed = step.deed
    if isinstance(deed, Pause):
        stage.pass_time(deed.seconds)
        return None
    if isinstance(deed, Closings):
        _close_days(deed, stage, names.real_day(deed.until))
        return None
    if isinstance(deed, Fetch):
        return stage.fetch(names.path(deed.path))
    if isinstance(deed, Reading):
        parameter = deed.route.parameter
        return stage.read(deed.route, names.real(deed.object_id, parameter))
    fields = names.real(deed.fields)
    if isinstance(deed, WorkingOut):
        return stage.work_out(deed.calculation, fields)
    return stage.ask(deed.route, request_id_of(step), fields, deed.caller)


def _close_days(deed: Closings, stage: Stage, until: str) -> None:
    while (day := stage.read(deed.current, "current").answer["day"]) < until:
        told = stage.ask(deed.close, f"close-{day}", {deed.close.parameter or "": day})
        assert told.answer["status"] == "approved", told.answer
    assert day == until, f"the open day is {day} already"


def _judge(going: Play, step: Step, told: Told | None) -> bool:
    """Whether the answer is as told; complains if not."""
    if told is None:
        return True
    if not step.expected:
        came = _line_of(going.names.story(told.answer))
        going.complain(step.line, f"    {step.sentence}\n  has no answer; came {came}")
        return False
    currency = going.story.given.currency
    wrong = list(differences(step.expected, told.answer, going.names, currency))
    if not wrong:
        return True
    lines = [f"    {step.sentence}"]
    for wanted, came in wrong:
        lines.append(f"  expected  {wanted.words} {wanted.value}")
        lines.append(f"  came      {came}")
    lines.append(f"  in        {_line_of(going.names.story(told.answer))}")
    going.complain(wrong[0][0].line, "\n".join(lines))
    return False


def _is_the_same_again(going: Play, step: Step, told: Told | None) -> bool:
    """Whether a repeated request has the bytes that its first answer had."""
    if told is None or not told.answer.get("replayed"):
        return True
    bodies = [first.body for first in _told_before(going, step) if first.body]
    if not bodies or bodies[0] == told.body:
        return True
    text = f"  first     {bodies[0]!r}\n  again     {told.body!r}"
    going.complain(step.line, f"    {step.sentence}\n{text}")
    return False


def request_id_of(step: Step) -> str:
    """The request id of a step; one of its own if the story gives none."""
    given = step.deed.request_id if isinstance(step.deed, Wish) else ""
    return given or f"line-{step.line}"


def _told_before(going: Play, step: Step) -> Iterator[Told]:
    """What was told to the same caller under the request id of a step before it."""
    for played in going.steps:
        if played.told and _request_of(played.step) == _request_of(step):
            yield played.told


def _request_of(step: Step) -> tuple[str, str]:
    caller = step.deed.caller if isinstance(step.deed, Wish) else ""
    return caller, request_id_of(step)


def _line_of(answer: Answer) -> str:
    return ", ".join(f"{name} {value}" for name, value in answer.items())


def _retold(step: Step, told: Told | None, names: Names, currency: str) -> list[str]:
    if told is None:
        return []
    has_status = isinstance(step.deed, Wish)
    return retold(step.expected, told.answer, names, currency, has_status)


def check_rows(going: Play, ledger: Ledger, *, is_alone: bool) -> None:
    """Hold every row of every step against the story; `is_alone` in its house."""
    currency = going.story.given.currency
    for played in going.steps:
        came: Counter[Leg] = Counter()
        for legs in rows_of(going, played, ledger, is_alone=is_alone):
            came.update(legs)
        told = Counter(row.leg for row in played.step.rows)
        missing, unmentioned = told - came, came - told
        if not missing and not unmentioned:
            continue
        lines = [f"    {played.step.sentence}"]
        lines += [f"  expected  {row}" for row in _rows(missing, currency)]
        lines += [f"  came      {row}" for row in _rows(unmentioned, currency)]
        going.complain(_line_of_rows(played.step, missing), "\n".join(lines))
    if is_alone:
        for text in ledger.differences:
            going.complain(going.story.line, f"  the audit says: {text}")


def _line_of_rows(step: Step, missing: Counter[Leg]) -> int:
    lines = [row.line for row in step.rows if row.leg in missing]
    return min(lines, default=step.last_line)


def _rows(legs: Counter[Leg], currency: str) -> Iterator[str]:
    for account, minor in legs.elements():
        yield row_text(account, minor, currency)


def row_text(account: str, minor: int, currency: str) -> str:
    """One side of a posting, as a story writes it."""
    return f"{'dr' if minor > 0 else 'cr'} {account} {money(abs(minor), currency)}"


def rows_of(
    going: Play, played: Played, ledger: Ledger, *, is_alone: bool
) -> list[list[Leg]]:
    """The rows that a step has left, record by record, in story form."""
    names = going.names
    return [
        [(names.ledger_account(account), minor) for account, minor in posted.legs]
        for posted in ledger.between(played.before, played.after)
        if is_alone or any(names.is_mine(account) for account, _ in posted.legs)
    ]
