"""Every answer that a client was given, held against the journals themselves.

The record says what was asked and answered.  The journals are read from their
files, with no server in between: each answered request must stand there exactly
once, and what it ended in must make the very bytes that the client was sent.
"""

from collections.abc import Iterator
from pathlib import Path

from loadtest.record import Answered, Sent, read_record
from processor.answers import answer_to
from processor.journal import read_journal
from processor.records import SETTLEMENT_RECORDS, SHARD_RECORDS

Journaled = dict[str, list[bytes]]  # Request id → the answers it makes.


def journaled_answers(data_dir: Path) -> Journaled:
    """Every request in the journals of a stopped server."""
    found: Journaled = {}
    for request_id, answer in _answers(data_dir):
        found.setdefault(request_id, []).append(answer)
    return found


def _answers(data_dir: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(data_dir.glob("*.journal")):
        with read_journal(path) as (identity, rows):
            is_shard = identity.kind == "shard"
            decoder = SHARD_RECORDS if is_shard else SETTLEMENT_RECORDS
            for row in rows:
                for record in decoder.decode(row.records):
                    if record.command is not None:
                        answer = answer_to(record.command, record.event)
                        yield record.command.request_id, answer


def differences(journaled: Journaled, answered: dict[str, bytes]) -> list[str]:
    """What was answered and is not there as answered, or is there twice."""
    complaints = [
        f"{request_id} stands in the journals {len(answers)} times"
        for request_id, answers in journaled.items()
        if len(answers) != 1
    ]
    for request_id, body in answered.items():
        answers = journaled.get(request_id)
        if answers is None:
            complaints.append(f"{request_id} was answered, and is in no journal")
        elif answers[0] != body:
            complaints.append(
                f"{request_id} was answered {body!r}, the journal says {answers[0]!r}"
            )
    return complaints


def check_record(data_dir: Path, record: Path, prefix: str) -> int:
    """Hold a crowd's record against the journals; how many answers agree.

    Raises AssertionError with all that does not.  What nobody answered must have
    been resolved before: it is looked for, and may be there or not.
    """
    request_ids: dict[str, str] = {}  # By the number of the wish.
    answered: dict[str, bytes] = {}
    for entry in read_record(record):
        if isinstance(entry, Sent):
            request_ids[entry.wish.number] = entry.wish.request_id
        elif isinstance(entry, Answered):
            request_id = request_ids[entry.number]
            if request_id and entry.answer.is_decided:
                answered[request_id] = entry.answer.body
    journaled = journaled_answers(data_dir)
    sent = set(request_ids.values())
    complaints = differences(journaled, answered)
    complaints += [
        f"{request_id} is in a journal, and nobody sent it"
        for request_id in journaled
        if request_id.startswith(f"{prefix}-u") and request_id not in sent
    ]
    assert complaints == [], "\n".join(complaints[:20])
    return len(answered)
