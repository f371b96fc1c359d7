"""The words of the house: they stand in journals and may not change."""

import typing

import msgspec
import pytest

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.machine import _DECIDE
from processor.settlement_rules import DECIDE

SHARD_COMMANDS = typing.get_args(c.AccountCommand)
SETTLEMENT_COMMANDS = typing.get_args(c.SettlementCommand)
COMMANDS = (*SHARD_COMMANDS, *SETTLEMENT_COMMANDS)
EVENTS = set(typing.get_args(e.ShardEvent)) | set(typing.get_args(e.SettlementEvent))


def test_the_names_on_the_wire_are_what_they_always_were() -> None:
    assert [
        "open_account",
        "change_limit",
        "set_temporary_limit",
        "set_velocity",
        "freeze_account",
        "unfreeze_account",
        "close_account",
        "authorize",
        "place_hold",
        "repay",
        "increment_authorization",
        "capture_authorization",
        "reverse_authorization",
        "refund",
        "increase_hold",
        "release_hold",
        "convert_hold",
        "settle_early",
        "pay_out_credit",
        "waive_charges",
        "write_off",
        "record_recovery",
        "pay_claim",
        "propose_adjustment",
        "extend_plan",
        "finalize_repayment",
        "return_repayment",
        "reverse_write_off",
        "reverse_recovery",
        "reverse_claim",
        "approve_adjustment",
        "reject_adjustment",
        # Lenders.
        "force_capture",
    ] == [command.wire_name() for command in SHARD_COMMANDS]
    assert [
        "register_lender",
        "deposit_reserve",
        "withdraw_reserve",
        "register_program",
        "register_merchant",
        "close_day",
        # Lenders.
        "change_advance_line",
        "suspend_lender",
        "resume_lender",
        "set_daily_cap",
        "set_program_cap",
        "propose_funds",
        "approve_funds",
        "reject_funds",
        "change_merchant",
        "withhold_from_merchant",
        "release_withholding",
    ] == [command.wire_name() for command in SETTLEMENT_COMMANDS]


@pytest.mark.parametrize("kinds", [COMMANDS, tuple(EVENTS)], ids=["commands", "events"])
def test_no_two_words_are_written_the_same(kinds: tuple[type, ...]) -> None:
    tags = [kind.__struct_config__.tag for kind in kinds]  # type: ignore[attr-defined]
    assert sorted(set(tags)) == sorted(tags)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_tag_is_the_wire_name(command: type[c.Command]) -> None:
    assert command.__struct_config__.tag == command.wire_name()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_names_its_caller_and_its_request_first(
    command: type[c.Command],
) -> None:
    assert ("caller", "request_id") == command.__struct_fields__[:2]


@pytest.mark.parametrize("command", SHARD_COMMANDS)
def test_a_shards_command_is_routed_by_one_of_its_fields(
    command: type[c.Command],
) -> None:
    assert command.ROUTED_BY.endswith("_id")
    assert command.ROUTED_BY in command.__struct_fields__


@pytest.mark.parametrize("command", SETTLEMENT_COMMANDS)
def test_a_command_without_a_route_is_settlements(command: type[c.Command]) -> None:
    assert "" == command.ROUTED_BY


def test_every_command_has_a_rule_that_decides_it() -> None:
    assert set(SHARD_COMMANDS) == set(_DECIDE)
    assert set(SETTLEMENT_COMMANDS) == set(DECIDE)


def test_every_command_and_event_of_the_module_is_in_a_union() -> None:
    """One that is in none would be journaled and never be read again."""
    assert set(COMMANDS) == set(c.Command.__subclasses__())
    assert set(e.Event.__subclasses__()) == EVENTS


def test_every_message_is_in_a_union() -> None:
    messages = set(typing.get_args(m.ToNode)) | set(typing.get_args(m.FromNode))
    assert set(m.Message.__subclasses__()) == messages


@pytest.mark.parametrize("command", [c.Authorize, c.ConvertHold, c.RegisterProgram])
def test_defaults_are_the_last_fields(command: type[c.Command]) -> None:
    """So that an older row, which lacks the newest fields, can still be read."""
    required = [f.required for f in msgspec.structs.fields(command)]
    assert required == sorted(required, reverse=True)
