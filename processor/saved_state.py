"""A shard's state as bytes, and back, sharing what it shared.

Live, a million accounts name one string as their program, and what a purchase was
for is one number under three names.  Decoded, each has its own, and a node is back
with far more memory than it had had.  So the large tables are saved some hundred
objects at a time, and what was one object is made one again before the next are
decoded, into the memory that the others have left.

Of what cannot change this saves memory alone.  What can change and has two names,
a program, must be one, or what one learns the other would not know.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice
from types import GenericAlias
from typing import Any, get_args, get_origin

import msgspec

from processor.ids import SLOT_NUMBERS
from processor.paged import Paged
from processor.state import (
    NEVER,
    Account,
    AccountVelocity,
    Adjustment,
    Authorization,
    Hold,
    Payment,
    ShardState,
)

_AT_ONCE = 512  # Still in the CPU's cache when they are made to share.
_FIELDS = msgspec.structs.fields(ShardState)
_KINDS = {f.name: get_args(f.type)[0] for f in _FIELDS if get_origin(f.type) is Paged}
# By name, what it is a table of; authorizations before accounts, which name them.
_TABLES: dict[str, Any] = {**_KINDS, "accounts": Account}
_Rest = msgspec.defstruct(
    "_Rest", [(f.name, f.type) for f in _FIELDS if f.name not in _TABLES], gc=False
)

_ENCODER = msgspec.msgpack.Encoder()
_REST = msgspec.msgpack.Decoder(_Rest)
_DECODERS = {
    name: msgspec.msgpack.Decoder(GenericAlias(dict, (str, kind)))
    for name, kind in _TABLES.items()
}


def parts_of(state: ShardState) -> dict[str, bytes]:
    """All of it but for what is shelved, by name: "state", and each table's parts."""
    rest = {f: getattr(state, f) for f in _Rest.__struct_fields__}
    parts = {"state": _ENCODER.encode(_Rest(**rest))}
    for name in _TABLES:
        items = iter(dict.items(getattr(state, name)))
        for number in count():
            some = dict(islice(items, _AT_ONCE))
            if not some:
                break
            parts[_part(name, number)] = _ENCODER.encode(some)
    return parts


def state_of(parts: Mapping[str, bytes | memoryview]) -> ShardState:
    """What `parts_of` was made of.  Raises as msgspec does, or KeyError."""
    fields = msgspec.structs.asdict(_REST.decode(parts["state"]))
    state = ShardState(**fields)
    for program_id, program in state.programs.items():
        state.programs[program_id] = state.program_versions[program_id, program.version]
    reunion = _Reunion(state)
    for name in _TABLES:
        put: Callable[[dict[str, Any]], None] = getattr(reunion, name)
        for some in _decoded(parts, name):
            put(some)
    accounts = state.accounts
    state.in_debt = {accounts[name].account_id: None for name in state.in_debt}
    return state


def _part(name: str, number: int) -> str:
    return f"{name} {number}"


def _decoded(
    parts: Mapping[str, bytes | memoryview], name: str
) -> Iterator[dict[str, Any]]:
    for number in count():
        part = parts.get(_part(name, number))
        if part is None:
            return
        yield _DECODERS[name].decode(part)


class _Reunion:
    """Puts objects into their table, one of all that are equal and cannot change.

    Some at a time, by table.
    """

    def __init__(self, state: ShardState) -> None:
        self._state = state
        self._names: dict[str, str] = {}  # Of what many have: programs, merchants.
        self._account_ids: dict[str, str] = {}  # Of those with something open.
        self._days = {NEVER: NEVER}
        self._nothing: dict[tuple[int, ...], tuple[int, ...]] = {}

    def authorizations(self, some: dict[str, Authorization]) -> None:
        """Purchases."""
        name, account_id = self._names.setdefault, self._account_ids.setdefault
        expires_at_ms = 0
        for key, found in some.items():
            found.authorization_id = key
            found.account_id = account_id(found.account_id, found.account_id)
            found.merchant_id = name(found.merchant_id, found.merchant_id)
            found.program_id = name(found.program_id, found.program_id)
            found.purchase_day = name(found.purchase_day, found.purchase_day)
            if found.plan_id:
                found.plan_id = name(found.plan_id, found.plan_id)
            if found.category:
                found.category = name(found.category, found.category)
            if found.expires_at_ms == expires_at_ms:  # As the one before, of its batch.
                found.expires_at_ms = expires_at_ms
            else:
                expires_at_ms = found.expires_at_ms
            self._unite_amounts(found)
        self._state.authorizations.update(some)

    def _unite_amounts(self, found: Authorization) -> None:
        """Mostly all of it or nothing was captured, given back, refunded, is owed."""
        all_of_it, nothing = found.total_parts, (0,) * len(found.total_parts)
        nothing = self._nothing.setdefault(nothing, nothing)
        if found.captured_parts == all_of_it:
            found.captured_parts = all_of_it
        elif found.captured_parts == nothing:
            found.captured_parts = nothing
        if found.outstanding_parts == all_of_it:
            found.outstanding_parts = all_of_it
        elif found.outstanding_parts == nothing:
            found.outstanding_parts = nothing
        if found.given_back_parts == nothing:
            found.given_back_parts = nothing
        if found.refunded_parts == nothing:
            found.refunded_parts = nothing
        if found.captured_minor == found.total_minor:
            found.captured_minor = found.total_minor
        if found.outstanding_minor == found.total_minor:
            found.outstanding_minor = found.total_minor

    def holds(self, some: dict[str, Hold]) -> None:
        """Limit holds."""
        self._unite_account_ids(some)
        self._state.holds.update(some)

    def payments(self, some: dict[str, Payment]) -> None:
        """What paid debts."""
        self._unite_account_ids(some)
        self._state.payments.update(some)

    def adjustments(self, some: dict[str, Adjustment]) -> None:
        """Corrections."""
        self._unite_account_ids(some)
        self._state.adjustments.update(some)

    def _unite_account_ids(self, some: Mapping[str, Any]) -> None:
        for found in some.values():
            account_id: str = found.account_id
            found.account_id = self._account_ids.setdefault(account_id, account_id)

    def accounts(self, some: dict[str, Account]) -> None:
        """Accounts, after what is open on them."""
        name, day = self._names.setdefault, self._days.setdefault
        for key, found in some.items():
            found.account_id = self._account_ids.get(key, key)
            found.program_id = name(found.program_id, found.program_id)
            found.currency = name(found.currency, found.currency)
            found.slot = SLOT_NUMBERS[found.slot]
            found.wakes_on = day(found.wakes_on, found.wakes_on)
            if found.unpaid:
                found.unpaid = [self._as_bought(bought) for bought in found.unpaid]
            if found.velocity is not None:
                _unite_days(found.velocity, name)
            self._state.accounts[found.account_id] = found

    def _as_bought(self, name: str) -> str:
        bought = dict.get(self._state.authorizations, name)  # It is not shelved.
        return name if bought is None else bought.authorization_id


def _unite_days(velocity: AccountVelocity, day: Callable[[str, str], str]) -> None:
    for meter in (velocity.overall, *velocity.categories.values()):
        meter.day = day(meter.day, meter.day)
