"""A shard's state as bytes, and back, in the memory that it had.

Live, a million accounts name one string as their program, and what a purchase was
for is one number under three names.  Decoded, each has its own: a million accounts
took 627 MiB instead of 366.  So the large tables are saved some thousand objects at
a time, and what was one object is made one again before the next are decoded, into
the memory that the others have left.

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
from processor.state import NEVER, Account, Authorization, ShardState

_AT_ONCE = 4_096
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
        table = getattr(state, name)
        unite: Callable[[str, Any], str] = getattr(reunion, name)
        for some in _decoded(parts, name):
            for key, found in some.items():
                table[unite(key, found)] = found
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
    """Makes one of what is equal and cannot change, by table; returns an object's key.

    Two microseconds a purchase, of five in all.
    """

    def __init__(self, state: ShardState) -> None:
        self._bought = state.authorizations
        self._names: dict[str, str] = {}  # Of what many have: programs, merchants.
        self._account_ids: dict[str, str] = {}  # Of those with something open.
        self._nothing: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._days = {NEVER: NEVER}
        self._at_ms = 0

    def authorizations(self, key: str, found: Authorization) -> str:
        """A purchase."""
        name = self._names.setdefault
        found.authorization_id = key
        self._of_account(key, found)
        found.merchant_id = name(found.merchant_id, found.merchant_id)
        found.program_id = name(found.program_id, found.program_id)
        found.purchase_day = name(found.purchase_day, found.purchase_day)
        if found.plan_id:
            found.plan_id = name(found.plan_id, found.plan_id)
        if found.category:
            found.category = name(found.category, found.category)
        if found.expires_at_ms == self._at_ms:  # Those of a batch follow each other.
            found.expires_at_ms = self._at_ms
        self._at_ms = found.expires_at_ms
        self._amounts(found)
        return key

    def _amounts(self, found: Authorization) -> None:
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

    def _of_account(self, key: str, found: Any) -> str:
        """A hold, a payment or an adjustment."""
        account_id: str = found.account_id
        found.account_id = self._account_ids.setdefault(account_id, account_id)
        return key

    holds = payments = adjustments = _of_account

    def accounts(self, key: str, found: Account) -> str:
        """An account, after what is open on it."""
        key = self._account_ids.get(key, key)
        name = self._names.setdefault
        found.account_id = key
        found.program_id = name(found.program_id, found.program_id)
        found.currency = name(found.currency, found.currency)
        found.slot = SLOT_NUMBERS[found.slot]
        found.wakes_on = self._days.setdefault(found.wakes_on, found.wakes_on)
        if found.unpaid:
            found.unpaid = [self._as_bought(name) for name in found.unpaid]
        if found.velocity is not None:
            for meter in (found.velocity.overall, *found.velocity.categories.values()):
                meter.day = name(meter.day, meter.day)
        return key

    def _as_bought(self, name: str) -> str:
        bought = dict.get(self._bought, name)  # What is owed is in memory.
        return name if bought is None else bought.authorization_id
