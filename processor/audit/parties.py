"""Whose money it is: what postings must know beyond the events."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from processor.events import Allocation

Leg = tuple[str, int]


class Line(Protocol):
    """One instalment of a purchase."""

    @property
    def bills_on(self) -> int: ...


class Purchase(Protocol):
    """What the books must know of a purchase beyond its events."""

    @property
    def account_id(self) -> str: ...
    @property
    def merchant_id(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def lenders(self) -> tuple[str, ...]: ...
    @property
    def lines(self) -> Sequence[Line]: ...


class Hold(Protocol):
    """What the books must know of a limit hold beyond its events."""

    @property
    def account_id(self) -> str: ...
    @property
    def currency(self) -> str: ...


class Payment(Protocol):
    """What the books must know of a payment that is undone."""

    @property
    def allocations(self) -> tuple[Allocation, ...]: ...
    @property
    def lenders(self) -> Mapping[str, int]: ...
    @property
    def guarantor_id(self) -> str: ...
    @property
    def platform_minor(self) -> int: ...


class Account(Protocol):
    """Whose products and which money an account has."""

    @property
    def program_id(self) -> str: ...
    @property
    def currency(self) -> str: ...


class Reserve(Protocol):
    """A lender's reserve as it was before the event."""

    @property
    def currency(self) -> str: ...
    @property
    def deposit_minor(self) -> int: ...


class Names(Protocol):
    """Whose money it is; a purchase is there before its authorization posts."""

    @property
    def purchases(self) -> Mapping[str, Purchase]: ...
    @property
    def holds(self) -> Mapping[str, Hold]: ...
    @property
    def payments(self) -> Mapping[str, Payment]: ...
    @property
    def accounts(self) -> Mapping[str, Account]: ...

    def billed_before(self, account_id: str) -> int:
        """Lines that bill before this day are billed."""
