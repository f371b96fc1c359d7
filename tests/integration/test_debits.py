"""`forebay debits` against a real server: once, again, and with mistakes."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.debits.sending import BATCH_LINES
from tests.processes import (
    RunningServer,
    check_verified,
    furnish,
    run_forebay,
    running_server,
)

SETTLED, RETURNED = 40, 25


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    data_dir = tmp_path_factory.mktemp("debits") / "data"
    with running_server(data_dir, "--shards", "2") as server:
        furnish(server, 4)
        yield server
        assert server.terminate() == 0
    check_verified(data_dir)


def post(server: RunningServer, path: str, key: str, **body: Any) -> Any:
    answer = server.post(path, key, body)
    assert answer["status"] == "approved", answer
    return answer


def repaid(server: RunningServer, key: str, account: str) -> str:
    """A provisional repayment of a purchase of 100."""
    money = {"account_id": account, "amount_minor": 100, "currency": "EUR"}
    post(
        server, "/v1/authorizations", f"b{key}", **money, merchant_id="shop",
        capture=True,
    )  # fmt: skip
    made = post(server, "/v1/repayments", f"r{key}", **money, provisional=True)
    return str(made["repayment_id"])


def send(server: RunningServer, file: Path, *more: str) -> Any:
    return run_forebay("debits", str(file), "--url", server.url, *more)


def counts(told: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(told.stdout)


def test_a_file_is_booked_once_however_often_it_is_sent(
    server: RunningServer, tmp_path: Path
) -> None:
    ids = [
        repaid(server, f"-{n}", f"borrower-{n % 3}") for n in range(SETTLED + RETURNED)
    ]
    over = repaid(server, "-over", "borrower-3")
    post(server, "/v1/accounts/borrower-3/limit", "lower", limit_minor=40)
    rows = [f"{name},settled,batch-7" for name in ids[:SETTLED]]
    rows += [f"{name},returned,AM04" for name in ids[SETTLED:]]
    rows += [f'{over},returned,"MD06, by the payer"', rows[0]]
    file = tmp_path / "debits.csv"
    file.write_text("\n".join(["repayment_id,result,reference", *rows]) + "\n")

    first = send(server, file, "--key", server.key)
    again = send(server, file, "--key", server.key, "--json")

    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.splitlines() == [
        "lines             67",
        "settled           40",
        "returned          26",
        "already done       1",
        "over limit         1",
        "  borrower-3  by 60 minor units",
    ]
    assert (again.returncode, again.stderr) == (0, "")
    assert counts(again) == {
        "lines": 67,
        "settled": 0,
        "returned": 0,
        "already_done": 67,
        "malformed": 0,
        "refused": {},
        "over_limit_minor": {"borrower-3": 60},
    }
    owed = [
        server.get(f"/v1/accounts/borrower-{n}")["outstanding_minor"] for n in range(4)
    ]
    assert sum(owed) == (RETURNED + 1) * 100


def test_a_bad_line_is_named_and_stops_no_other(
    server: RunningServer, tmp_path: Path
) -> None:
    one, two = (repaid(server, f"-bad-{n}", "borrower-1") for n in range(2))
    post(server, f"/v1/repayments/{two}/return", "by-hand")
    file = tmp_path / "debits.csv"
    rows = [
        "rp_fff0000001,settled,",  # Nobody's.
        f"{one},bounced,",
        f"{one},settled,",
        f"{one},returned,",  # It is final now.
        f"{two},settled,",  # It was returned by hand.
        f"{two},returned,other words",  # So it was: nothing to do.
    ]
    file.write_text("\n".join(["repayment_id,result,reference", *rows]))

    told = send(server, file, "--key", server.key, "--json")
    again = send(server, file, "--key", server.key, "--json")

    assert told.returncode == again.returncode == 1
    assert told.stderr.splitlines() == [
        f"{file}:2: rp_fff0000001: repayment_not_found (no repayment has this id)",
        f"{file}:3: result 'bounced' is not known; write settled or returned",
        f"{file}:5: {one}: repayment_is_final"
        " (it settled before, so it cannot be returned)",
        f"{file}:6: {two}: already_reversed"
        " (it was returned before, so it cannot settle)",
    ]
    assert again.stderr == told.stderr
    expected = {
        "lines": 6,
        "settled": 1,
        "returned": 0,
        "already_done": 1,
        "malformed": 1,
        "refused": {
            "already_reversed": 1,
            "repayment_is_final": 1,
            "repayment_not_found": 1,
        },
        "over_limit_minor": {},
    }
    assert counts(told) == expected
    assert counts(again) == expected | {"settled": 0, "already_done": 2}


def test_more_lines_than_one_request_takes(
    server: RunningServer, tmp_path: Path
) -> None:
    made = repaid(server, "-many", "borrower-2")
    file = tmp_path / "debits.csv"
    rows = [f"rp_{n:08x},settled," for n in range(BATCH_LINES + 5)]
    file.write_text(
        "\n".join(["repayment_id,result,reference", *rows, f"{made},settled,"])
    )

    told = send(server, file, "--key", server.key, "--json")

    assert told.returncode == 1
    assert counts(told)["settled"] == 1
    assert counts(told)["refused"] == {"repayment_not_found": BATCH_LINES + 5}


def test_what_cannot_be_sent_at_all_exits_with_two(
    server: RunningServer, tmp_path: Path
) -> None:
    file = tmp_path / "debits.csv"
    file.write_text("repayment_id,result,reference\nrp_000001,settled,\n")
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("id;result\n")
    reader = run_forebay(
        *("keys", "add", "--data-dir", str(server.data_dir)),
        *("--caller", "reader", "--role", "auditor"),
    ).stdout.strip()

    answers = [
        send(server, wrong, "--key", server.key),
        send(server, file, "--key", "fb_nobody_x"),
        send(server, file, "--key", reader),
        run_forebay("debits", str(file), "--url", "http://127.0.0.1:1", "--key", "x"),
    ]

    assert [told.returncode for told in answers] == [2] * 4
    assert [told.stdout for told in answers] == [""] * 4
    words = ["wrong.csv:1:", "API key is unknown", "role `payments`", "no answer from"]
    for told, word in zip(answers, words, strict=True):
        assert word in told.stderr
