"""Six months of real credit cards over HTTP, against a second calculation.

`make test` replays the extract that ships with the code, and another file of the
same form after it on the same server.  To replay the whole file:

    FOREBAY_CLIENTS_FILE=credit_clients_1-20000.csv.gz \
        make test PYTEST_ARGS="-k every_card --timeout 1200"
"""

import asyncio
import copy
import csv
import gzip
import json
import os
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.clients import COLUMNS, EXTRACT, ClientsResult
from gateway.clients.plan import build_plan
from gateway.clients.reader import read_cards
from gateway.clients.replay import Replay
from gateway.replays.client import IN_FLIGHT, Answer, Client, Decided, Wish
from gateway.replays.progress import Silence
from gateway.replays.tables import content_digest
from processor.audit import shard as shard_audit
from processor.events import StatementIssued
from tests.integration.cards_by_hand import DAY, Books, books_of, business_days, rows_of
from tests.processes import (
    RunningServer,
    check_verified,
    run_forebay,
    running_server,
)

WHOLE_FILE = os.environ.get("FOREBAY_CLIENTS_FILE", "")
AUDIT_KNOWS_DEBTS = StatementIssued in shard_audit._EFFECTS
SEED = 20_050_401


class Listening(Client):
    """A client that keeps every command it sent in bulk, with its answer."""

    heard: list[tuple[Wish, Answer]]

    async def commands(self, wishes: Sequence[Wish]) -> list[Decided]:
        decided = await super().commands(wishes)
        self.heard += [(w, d.answer) for w, d in zip(wishes, decided, strict=True)]
        return decided


class Replayed:
    """A replay that has been done, and what was heard during it."""

    def __init__(self, file: Path, server: RunningServer) -> None:
        self.digest = content_digest(file)
        self.server = server
        self.heard: dict[str, list[tuple[str, dict[str, Any]]]]
        self.result, self.views = asyncio.run(self._replay(file))

    async def _replay(self, file: Path) -> tuple[ClientsResult, dict[str, Any]]:
        plan = build_plan(read_cards(file), self.digest)
        async with Listening(self.server.url, self.server.key, IN_FLIGHT) as client:
            client.heard = []
            started = time.perf_counter()
            result = await Replay(client, plan, Silence(), IN_FLIGHT).run(file.name)
            print(f"{time.perf_counter() - started:.1f} s for {file.name}: {result}")
            self.heard = by_account(client.heard)
            names = [card.client_id for card in plan.cards]
            views = await self._views(client, names)
        return result, views

    async def _views(self, client: Client, names: list[str]) -> dict[str, Any]:
        views = {}

        async def read(some: list[str]) -> None:
            for name in some:
                path = f"/v1/accounts/{self.account_id(name)}"
                account = await client.read(path, dict[str, Any])
                billed = await client.read(f"{path}/statements", dict[str, Any])
                views[name] = (account, billed)

        parts = [names[i::IN_FLIGHT] for i in range(IN_FLIGHT)]
        await asyncio.gather(*(read(part) for part in parts))
        return views

    def account_id(self, client_id: str) -> str:
        return f"card-{self.digest}-{client_id}"


def by_account(
    heard: list[tuple[Wish, Answer]],
) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """By account id: the name of each command, and its fields with the answer's."""
    owners: dict[str, str] = {}
    found = defaultdict(list)
    for wish, answer in heard:
        account_id = wish.fields.get("account_id")
        if account_id is None:
            account_id = owners[str(wish.fields["authorization_id"])]
        owners[answer.authorization_id] = str(account_id)
        told = wish.fields | msgspec.structs.asdict(answer)
        found[str(account_id)].append((wish.command, told))
    return found


def foreseen(books: Books) -> list[tuple[Any, ...]]:
    """What each answer must say."""
    opened = ("open_account", books.limit, "approved", "", 0, 0, 0, 0)
    expected: list[tuple[Any, ...]] = [opened]
    for answer in books.answers:
        reason = "" if answer.approved else "credit_limit_exceeded"
        status = "approved" if answer.approved else "declined"
        amounts = (answer.missing, *answer.paid)
        expected.append((answer.command, answer.amount, status, reason, *amounts))
    return expected


def told(heard: list[tuple[str, dict[str, Any]]]) -> list[tuple[Any, ...]]:
    """What each answer said, in the same form."""
    names = ("headroom_missing", "principal", "penalty", "credit")
    found = []
    for command, fields in heard:
        amount = fields.get("amount_minor", fields.get("limit_minor"))
        amounts = [fields[f"{name}_minor"] for name in names]
        if command == "refund":
            amounts = [0] * len(names)  # Off the debt or not: the statements tell.
        row = (command, amount, fields["status"], fields["reason"], *amounts)
        found.append(row)
    return found


def statements(books: Books) -> list[dict[str, Any]]:
    """The statements as the API must show them, the newest first."""
    return [
        {
            "statement_on": str(bill.statement_on),
            "due_on": str(bill.due_on),
            "principal_minor": bill.principal,
            "interest_minor": 0,
            "fee_minor": 0,
            "past_due_minor": bill.past_due,
            "carried_minor": bill.carried,
            "overdrawn_minor": 0,
            "credit_minor": bill.credit,
            "due_minor": bill.due,
            "minimum_due_minor": bill.minimum,
            "outstanding_minor": bill.outstanding,
        }
        for bill in reversed(books.bills)
    ]


def standing(books: Books, today: date) -> dict[str, Any]:
    """What the account must show in the end."""
    past_due, days = books.past_due(today)
    return {
        "program_id": books.card.program_id,
        "limit_minor": books.limit,
        "outstanding_minor": books.outstanding,
        "credit_minor": books.credit,
        "charges_minor": books.charges,
        "unpaid_purchases": len(books.unpaid()),
        "past_due_minor": past_due,
        "days_past_due": days,
    }


def check_against_the_second_calculation(replayed: Replayed, file: Path) -> None:
    """Every answer, every statement, every account, and the sums."""
    days = business_days(replayed.result.first_business_day)
    today = days[-1] + DAY  # The replay closes the day on which it reads.
    all_books = []
    for row in usable_rows(file):
        books = books_of(row, days)
        all_books.append(books)
        name = replayed.account_id(books.account)
        assert foreseen(books) == told(replayed.heard[name]), name
        account, billed = replayed.views[books.account]
        assert statements(books) == billed["statements"], name
        books = copy.deepcopy(books)
        books.begin(days[-1], today)
        expected = standing(books, today)
        assert expected == {key: account[key] for key in expected}, name
    assert len(all_books) == len(replayed.views)
    check_sums(replayed.result, all_books, days[-1])


def check_sums(result: ClientsResult, all_books: list[Books], today: date) -> None:
    answers = [answer for books in all_books for answer in books.answers]
    bought = [a for a in answers if a.command == "authorize"]
    approved = [a for a in bought if a.approved]
    tally = result.tally
    assert (len(bought), len(approved)) == (tally.purchases, tally.approved)
    assert len(bought) - len(approved) == tally.declined["credit_limit_exceeded"]
    assert sum(a.amount for a in approved) == tally.approved_minor
    refunds = [a.amount for a in answers if a.command == "refund"]
    assert (len(refunds), sum(refunds)) == (tally.refunds, tally.refunded_minor)
    paid = [a.amount for a in answers if a.command == "repay"]
    assert (len(paid), sum(paid)) == (tally.repayments, tally.repaid_minor)
    penalties = sum(
        sum(bought.penalty_days.values())
        for books in all_books
        for bought in books.purchases
    )
    overdue = [books.past_due(today)[0] for books in all_books]
    figures = result.further_figures()
    assert {
        "accounts": len(all_books),
        "rows_malformed": figures["rows_malformed"],
        "refunds_unmatched_minor": sum(books.unmatched for books in all_books),
        "statements": sum(len(books.bills) for books in all_books),
        "overdue_accounts": sum(past_due > 0 for past_due in overdue),
        "past_due_minor": sum(overdue),
        "penalties_minor": penalties,
        "outstanding_minor": sum(books.outstanding for books in all_books),
        "credit_minor": sum(books.credit for books in all_books),
    } == figures


def usable_rows(file: Path) -> Iterator[dict[str, str]]:
    """Rows in which every cell is a number."""
    for row in rows_of(file):
        cells = [str(row.get(column)) for column in COLUMNS]
        if all(cell.lstrip("-").isdecimal() for cell in cells):
            yield row


def perturbed(tmp_path: Path) -> Path:
    """Another file: columns in another order, other amounts, wrong rows, no gzip."""
    chance = random.Random(SEED)
    columns = [*COLUMNS, "note"]
    chance.shuffle(columns)
    file = tmp_path / "others.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        for number, row in enumerate(list(rows_of(EXTRACT))[:60]):
            writer.writerow(_changed(chance, row) | {"note": "x, y"})
            if number % 20 == 0:
                writer.writerow(row | {"id": f"{number}00", "limit_bal": "many"})
        stream.write("7,8\n")
    return file


def _changed(chance: random.Random, row: dict[str, str]) -> dict[str, str]:
    changed = dict(row)
    for name in COLUMNS:
        if name in ("id", "limit_bal") or chance.random() < 0.8:
            continue
        if "_amt_" in name:
            changed[name] = str(int(row[name]) * chance.choice((0, 2, 7)) // 3)
        else:
            changed[name] = str(chance.choice((-1, 0, 2)))
    return changed


def check_audited(data_dir: Path) -> None:
    """Trial balance 0, replay equal, nothing overspent: from the journals alone."""
    if not AUDIT_KNOWS_DEBTS:
        return
    found = check_verified(data_dir)
    names = ("overspend_minor", "false_reserve_declines", "trial_balance_minor")
    assert [0, 0, 0] == [found[name] for name in names]
    assert found["replay_equal"]


def check_the_command_line(server: RunningServer, first: Replayed) -> None:
    """The same file again, as a person would: the same answers, and an audit."""
    if not AUDIT_KNOWS_DEBTS:
        return
    where = ("--url", server.url, "--key", server.key)
    again = run_forebay("replay", str(EXTRACT), *where, "--json")
    assert again.returncode == 0, again.stderr
    said = json.loads(again.stdout.splitlines()[-1])
    assert (said["trial_balance_minor"], said["replay_equal"]) == (0, True)
    tally = first.result.tally
    figures = [said[name] for name in ("approved", "declined", "refunds", "repayments")]
    declined = first.result.declined
    assert [tally.approved, declined, tally.refunds, tally.repayments] == figures


SERVED = ("--shards", "2", "--first-day", "2005-04-18")


def test_every_card_comes_to_what_the_second_calculation_says(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    others = perturbed(tmp_path)
    with running_server(data_dir, *SERVED) as server:
        first = Replayed(EXTRACT, server)
        second = Replayed(others, server)
        check_the_command_line(server, first)
    check_against_the_second_calculation(first, EXTRACT)
    check_against_the_second_calculation(second, others)
    assert date(2005, 4, 18) == first.result.first_business_day
    # The months keep their shape: the next 18th, on the day the first one left.
    assert date(2005, 10, 18) == second.result.first_business_day
    assert (4, 60) == (sum(second.result.skipped.values()), second.result.accounts)
    check_audited(data_dir)


@pytest.mark.skipif(not WHOLE_FILE, reason="FOREBAY_CLIENTS_FILE is not set")
def test_every_card_of_the_whole_file(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    file = Path(WHOLE_FILE)
    with running_server(data_dir, *SERVED) as server:
        replayed = Replayed(file, server)
    check_against_the_second_calculation(replayed, file)
    check_audited(data_dir)


def test_the_shipped_extract_is_what_its_attribution_says() -> None:
    text = EXTRACT.with_name("ATTRIBUTION.md").read_text()
    rows = list(rows_of(EXTRACT))
    assert 200 == len(rows)
    assert "200 accounts" in text
    assert b"\0\0\0\0" == EXTRACT.read_bytes()[4:8]  # No time in the gzip header.
    assert gzip.decompress(EXTRACT.read_bytes()).startswith(b"id,limit_bal,pay_sep,")


def test_a_file_of_no_form_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_text("a,b\n1,2\n")
    where = ("--embedded", "--data-dir", str(tmp_path / "data"))
    refused = run_forebay("replay", str(file), *where)
    assert refused.returncode == 2
    assert "some.csv, line 1: of no form that can be replayed" in refused.stderr
    assert not (tmp_path / "data").exists()
