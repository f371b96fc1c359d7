"""Direct-debit results: what a line means, and what is sent again."""

import json
from pathlib import Path

import pytest

from gateway.debits.outcome import OVER_LIMIT_SHOWN_MAX, Outcome
from gateway.debits.reader import (
    Debit,
    Malformed,
    Result,
    UnreadableFile,
    line_count,
    read_debits,
)
from gateway.debits.sending import Sender, SendingFailed, session_for
from processor import commands as c
from processor.messages import Answer
from processor.messages import Outcome as Decided
from tests.unit.gateway_fake import FakeNodes, browsing

HEADER = b"repayment_id,result,reference\n"
FINAL = b'{"status":"approved","repayment_id":"rp_000001","account_id":"ada"}'
BACK = (
    b'{"status":"approved","payment_id":"rp_000002","account_id":"bob",'
    b'"over_limit_minor":500}'
)


def written(folder: Path, body: bytes, header: bytes = HEADER) -> Path:
    file = folder / "debits.csv"
    file.write_bytes(header + body)
    return file


def test_a_line_is_a_repayment_a_result_and_a_reference(tmp_path: Path) -> None:
    body = (
        b"rp_000001,settled,\r\n\n"
        b'rp_000002, Returned ,"AM04, no funds"\nrp_000003,settled,x'
    )
    file = written(tmp_path, body, b"\xef\xbb\xbfRepayment_ID, result,reference\r\n")
    assert list(read_debits(file)) == [
        Debit(2, "rp_000001", Result.SETTLED, ""),
        Debit(4, "rp_000002", Result.RETURNED, "AM04, no funds"),
        Debit(5, "rp_000003", Result.SETTLED, "x"),
    ]
    assert line_count(file) == 4


def test_the_key_is_of_what_a_line_says_not_of_where_it_stands() -> None:
    first = Debit(2, "rp_000001", Result.SETTLED, "x")
    moved = Debit(9, "rp_000001", Result.SETTLED, "x")
    others = [
        Debit(2, "rp_000001", Result.RETURNED, "x"),
        Debit(2, "rp_000001", Result.SETTLED, "y"),
        Debit(2, "rp_000002", Result.SETTLED, "x"),
    ]
    assert first.request_id == moved.request_id
    assert len({first.request_id, *(debit.request_id for debit in others)}) == 4
    assert len(first.request_id) <= 64


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"rp_000001,settled", "has 2 fields, not 3"),
        (b"rp_000001;settled;x", "has 1 field, not 3"),
        (b"rp_000001,settled,a,b", "a comma in it needs quotes"),
        (b"rp_000001,bounced,", "write settled or returned"),
        (b"ada,settled,", "repayment_id 'ada' must be an id that a repayment"),
        (b",settled,", "repayment_id '' must be"),
        (b"rp_000001,returned," + b"x" * 65, "at most 64 characters"),
        (b"rp_000001,returned,\x07", "no control characters"),
        (b'rp_000001,returned,"open', "close its quotes"),
        (b"rp_000001,returned,\xff", "save the file as UTF-8"),
        (b"rp_000001,returned," + b"x" * 5_000, "has more than 4096 bytes"),
    ],
)
def test_a_malformed_line_is_named_with_the_fix_and_stops_no_other(
    tmp_path: Path, line: bytes, why: str
) -> None:
    file = written(tmp_path, line + b"\nrp_000001,settled,\n")
    wrong, right = read_debits(file)
    assert isinstance(wrong, Malformed)
    assert wrong.line == 2
    assert why in wrong.why
    assert right == Debit(3, "rp_000001", Result.SETTLED, "")


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"", "it is ''"),
        (b"rp_000001,settled,x\n", "must be repayment_id,result,reference"),
        (b"repayment_id;result;reference\n", "with commas between"),
        (b"\xff\xfe\n", "must be repayment_id,result,reference"),
    ],
)
def test_another_file_is_refused_by_its_first_line(
    tmp_path: Path, header: bytes, why: str
) -> None:
    with pytest.raises(UnreadableFile, match=r"debits\.csv:1: ") as refused:
        list(read_debits(written(tmp_path, b"", header)))
    assert why in str(refused.value)


def lines() -> list[Debit | Malformed]:
    return [
        Debit(2, "rp_000001", Result.SETTLED, ""),
        Malformed(3, "is wrong"),
        Debit(4, "rp_000002", Result.RETURNED, "AM04"),
    ]


def of_lines(command: c.Command) -> Answer:
    body = FINAL if isinstance(command, c.FinalizeRepayment) else BACK
    return Answer(0, Decided.DECIDED, body)


class Complaints(list[tuple[int, str]]):
    """What was complained of."""

    def __call__(self, line: int, why: str) -> None:
        self.append((line, why))


async def test_lines_become_commands_in_order_and_are_counted(tmp_path: Path) -> None:
    nodes, complaints, advanced = FakeNodes(of_lines), Complaints(), list[int]()
    async with browsing(tmp_path, nodes) as browser, session_for(browser.key) as on:
        sender = Sender(on, browser.url, complaints, advanced.append)
        outcome = await sender.send(lines())
    settled, returned = lines()[0], lines()[2]
    assert isinstance(settled, Debit)
    assert isinstance(returned, Debit)
    assert nodes.commands == [
        c.FinalizeRepayment("tester", settled.request_id, "rp_000001"),
        c.ReturnRepayment("tester", returned.request_id, "rp_000002", "AM04"),
    ]
    assert (outcome.settled, outcome.returned, outcome.malformed) == (1, 1, 1)
    assert outcome.over_limit == {"bob": 500}
    assert not outcome.is_clean
    assert complaints == [(3, "is wrong")]
    assert advanced == [3]


async def test_what_was_not_done_goes_out_again_under_the_same_key(
    tmp_path: Path,
) -> None:
    tries = iter(
        [
            Answer(0, Decided.DECIDED, FINAL),
            Answer(0, Decided.NOT_DONE, b"overloaded"),
            Answer(0, Decided.NOT_DONE, b"the node is away"),
            Answer(0, Decided.DECIDED, BACK),
        ]
    )
    nodes = FakeNodes(lambda command: next(tries))
    async with browsing(tmp_path, nodes) as browser, session_for(browser.key) as on:
        outcome = await Sender(on, browser.url, Complaints()).send(lines())
    keys = [command.request_id for command in nodes.commands]
    assert keys == [keys[0], keys[1], keys[1], keys[1]]
    assert (outcome.settled, outcome.returned, outcome.already_done) == (1, 1, 0)


async def test_an_outcome_that_stays_unknown_is_not_counted(tmp_path: Path) -> None:
    nodes = FakeNodes(lambda command: Answer(0, Decided.NOT_DONE, b"overloaded"))
    async with browsing(tmp_path, nodes) as browser, session_for(browser.key) as on:
        sender = Sender(on, browser.url, Complaints(), patience_seconds=0.3)
        with pytest.raises(SendingFailed, match=r"lines 2 to 4.*same file again"):
            await sender.send(lines())
    assert sender.outcome == Outcome()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[", "no address"])
async def test_nobody_there_is_told_at_once(url: str) -> None:
    async with session_for("fb_x") as session:
        with pytest.raises(SendingFailed):
            await Sender(session, url, Complaints()).send(lines())


def test_the_summary_names_the_worst_accounts_over_their_limit() -> None:
    outcome = Outcome(lines=30, returned=30)
    outcome.over_limit = {f"a{n:02}": n for n in range(1, 31)}
    text = outcome.as_text().splitlines()
    assert text[4] == "over limit        30"
    assert text[5] == "  a30  by 30 minor units"
    assert text[-1] == f"  and {30 - OVER_LIMIT_SHOWN_MAX} more"
    assert json.loads(outcome.as_json())["over_limit_minor"]["a07"] == 7


def test_all_done_before_is_said() -> None:
    outcome = Outcome(lines=2, already_done=2)
    assert "Nothing changed" in outcome.as_text()
    assert outcome.is_clean
