"""The bounds of the house fit into each other."""

import ast
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from processor import commands as c
from processor import limits
from processor import messages as m
from processor.framing import frame
from processor.ids import IdKind, make_id
from processor.records import ShardRecord
from processor.remembered import KEEPING, Remembered, no_row
from processor.scratch import MemoryScratch
from processor.terms import CategoryVelocity, Velocity

ROOT = Path(__file__).parents[2]
SOURCE = (ROOT / "processor" / "limits.py").read_text()


def test_all_bounds_are_positive_whole_numbers() -> None:
    bounds = {name: getattr(limits, name) for name in dir(limits) if name.isupper()}
    assert len(bounds) > 25
    assert {} == {
        name: bound
        for name, bound in bounds.items()
        if type(bound) is not int or bound <= 0
    }


def test_money_stays_exact_in_json_everywhere() -> None:
    assert 2**53 - 1 == limits.JSON_INTEGER_MAX
    largest = [
        limits.AMOUNT_MINOR_MAX,
        limits.LIMIT_MINOR_MAX,
        limits.RESERVE_MINOR_MAX,
    ]
    assert largest == sorted(largest)
    assert 2 * limits.RESERVE_MINOR_MAX <= limits.JSON_INTEGER_MAX
    # As a client in another language has it.
    assert all(int(float(bound)) == bound for bound in largest)


def test_the_largest_command_fits_many_times_into_a_frame() -> None:
    longest = "x" * limits.ID_LENGTH_MAX
    command = c.ConvertHold(
        longest, longest, longest, longest, limits.AMOUNT_MINOR_MAX, True, True, longest
    )
    bulk = [m.Submit(2**40, command)] * limits.BULK_COMMANDS_MAX
    assert len(frame(bulk)) < limits.FRAME_BYTES_MAX


def test_velocity_limits_are_no_longer_on_the_stream_than_in_a_body() -> None:
    """So a bulk body full of them fits into a frame."""
    categories = tuple(
        CategoryVelocity(f"{i}") for i in range(limits.VELOCITY_CATEGORIES_MAX)
    )
    command = c.SetVelocity("x", "y", "z", Velocity(), categories)
    assert len(msgspec.msgpack.encode(command)) <= len(msgspec.json.encode(command))
    assert 2 * limits.BULK_BODY_BYTES_MAX <= limits.FRAME_BYTES_MAX


def test_the_largest_program_fits_into_a_body_and_a_reference_frame() -> None:
    shares = tuple(
        c.Share(f"{i:0>{limits.ID_LENGTH_MAX}}", limits.PPM)
        for i in range(limits.LENDERS_PER_PROGRAM_MAX)
    )
    program = c.RegisterProgram(
        "x" * limits.ID_LENGTH_MAX, "y" * limits.ID_LENGTH_MAX, "z" * 64, "EUR", shares
    )
    size = len(msgspec.json.encode(program))
    assert size < limits.BODY_BYTES_MAX
    assert size * limits.REFERENCE_ITEMS_PER_FRAME_MAX < limits.FRAME_BYTES_MAX


def test_a_made_id_is_no_longer_than_an_id_may_be() -> None:
    last = make_id(IdKind.REFUND, limits.SLOTS - 1, limits.SHARDS_MAX - 1, 2**63)
    assert len(last) <= limits.ID_LENGTH_MAX


def test_memory_holds_more_requests_than_can_be_under_way() -> None:
    assert limits.INBOX_COMMANDS_MAX < limits.REMEMBERED_REQUESTS_MAX
    assert 0 == len(Remembered(KEEPING, ShardRecord, MemoryScratch(), no_row))


def test_waiting_for_reserve_ends_before_the_caller_has_gone() -> None:
    assert limits.PARKED_MS_MAX < limits.ANSWER_WAIT_MS_MAX <= limits.DRAIN_MS_MAX
    assert limits.REFERENCE_WAIT_MS_MAX < limits.ANSWER_WAIT_MS_MAX


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AMOUNT_MINOR_MAX", 10**14),
        ("RESERVE_MINOR_MAX", 2**52),
        ("WINDOW_COMMANDS_MAX", 100_000),
        ("BATCH_COMMANDS_MAX", 100_000),
        ("PARKED_MS_MAX", 20_000),
        ("BULK_BODY_BYTES_MAX", 2**25),
        ("SLOTS", 1_000),
        ("SHARDS_MAX", 512),
    ],
)
def test_a_bound_that_breaks_a_relation_does_not_start(name: str, value: int) -> None:
    tree = ast.parse(SOURCE)
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
            node.value = ast.Constant(value)
    changed = subprocess.run(
        [sys.executable, "-c", ast.unparse(tree)], capture_output=True, text=True
    )
    assert "AssertionError" in changed.stderr
