"""Tables that are partly on a shelf: nobody can tell, and nothing damaged passes."""

from collections.abc import Callable

import pytest

from processor.audit.books import Table
from processor.paged import Paged, Shelf
from processor.scratch import MemoryScratch
from processor.state import Hold, HoldStatus, Payment, PaymentKind, PaymentStatus
from processor.storage.scratch_files import FileScratch

SHARD = 3


def name_of(sequence: int, shard: int = SHARD) -> str:
    return f"ho_abc{shard:02x}{sequence:x}"


def hold(sequence: int, is_open: bool = False) -> Hold:
    status = HoldStatus.OPEN if is_open else HoldStatus.RELEASED
    return Hold(name_of(sequence), "account", 7, "reference", sequence, status)


class Tables:
    """The same holds twice: all in memory, and most of them shelved."""

    def __init__(self, scratch: MemoryScratch | None = None) -> None:
        self.whole = Paged(Hold, Hold.is_done)
        self.table = Paged(Hold, Hold.is_done)
        self.shelf = Shelf(scratch or MemoryScratch(), SHARD)
        self.table.attach(self.shelf, 1, 0)

    def add(self, *sequences: int, is_open: bool = False) -> "Tables":
        for sequence in sequences:
            for table in (self.whole, self.table):
                table[name_of(sequence)] = hold(sequence, is_open)
        return self

    def swept(self) -> "Tables":
        self.table.sweep(1_000)
        return self


def some() -> Tables:
    return Tables().add(1, 5, 16).add(30, is_open=True).add(31, 40, 90).swept()


def test_what_is_done_is_shelved_and_the_newest_stays() -> None:
    tables = some()
    assert 7 == len(tables.table)
    assert [30, 90] == [found.held_minor for found in tables.table.at_hand()]
    tables.add(91, 92).swept()
    assert 2 == tables.table.in_memory


def looks() -> dict[str, Callable[[Paged[Hold]], object]]:
    return {
        "keys": lambda table: list(table),
        "keys of the view": lambda table: list(table.keys()),
        "values": lambda table: list(table.values()),
        "items": lambda table: list(table.items()),
        "length": len,
        "common": lambda table: sorted(table.keys() & {name_of(5), "other"}),
        "missing": lambda table: {name_of(5), "x"} - table.keys(),
        "in": lambda table: [name_of(n) in table for n in range(100)],
        "get": lambda table: [table.get(name_of(n)) for n in range(100)],
        "get or": lambda table: table.get("nobody", 7),
        "truth": bool,
        "fingerprint": lambda table: list(table.fingerprint())[-1],
    }


@pytest.mark.parametrize("look", looks())
def test_nobody_can_tell_what_is_shelved(look: str) -> None:
    tables = some()
    see = looks()[look]
    assert see(tables.whole) == see(tables.table)
    assert tables.whole == tables.table
    assert tables.table == dict(tables.whole)
    assert tables.table.__ne__(tables.whole) is False


def test_what_is_touched_comes_back_and_is_shelved_again() -> None:
    tables = some()
    before = list(tables.table.fingerprint())[-1]
    tables.table[name_of(5)].reference = "changed"
    assert before != list(tables.table.fingerprint())[-1]
    assert 3 == tables.table.in_memory
    tables.whole[name_of(5)].reference = "changed"
    for _ in range(3):
        tables.add(100 + len(tables.whole)).swept()
        assert (
            list(tables.whole.fingerprint())[-1] == list(tables.table.fingerprint())[-1]
        )
    assert 2 == tables.table.in_memory
    assert "changed" == tables.table[name_of(5)].reference
    assert list(tables.whole) == list(tables.table)


def test_what_was_only_read_is_not_written_again() -> None:
    tables = some()
    assert 5 == tables.table[name_of(5)].held_minor
    end = tables.swept().shelf.append(b"")
    assert 16 == tables.table[name_of(16)].held_minor  # The newest in memory now.
    tables.swept()
    assert name_of(5) not in dict.keys(tables.table)
    assert end == tables.shelf.append(b"")


@pytest.mark.parametrize(
    "name",
    [
        name_of(5, shard=4),
        name_of(5).upper(),
        "ho_abc03+5",
        "ho_abd035",
        "au_abc035",
        name_of(6),
        name_of(-5),
        name_of(2**80),
        "ho_abc03",
        "",
        "ho_abc03zz",
    ],
)
def test_an_id_that_nobody_made_is_not_found(name: str) -> None:
    table = some().table
    assert name not in table
    assert table.get(name) is None
    with pytest.raises(KeyError):
        table[name]


def test_what_another_shard_made_stays_in_memory() -> None:
    tables = Tables()
    for shard in (SHARD, 9):
        tables.table[name_of(5, shard)] = hold(5)
    tables.add(6, 7).swept()
    assert name_of(5, 9) in dict.keys(tables.table)
    assert name_of(5) not in dict.keys(tables.table)


def test_two_tables_share_a_shelf() -> None:
    tables = some()
    payments = Paged(Payment, lambda payment: True)
    payments.attach(tables.shelf, 2, 0)
    kind, status = PaymentKind.REPAYMENT, PaymentStatus.FINAL
    for sequence in (2, 3, 7):
        name = f"rp_abc{SHARD:02x}{sequence:x}"
        payments[name] = Payment("account", kind, status, sequence)
    payments.sweep(10)
    assert 1 == payments.in_memory
    assert [2, 3, 7] == [payment.amount_minor for payment in payments.values()]
    assert name_of(2) not in tables.table
    assert f"rp_abc{SHARD:02x}5" not in payments


def test_a_flipped_bit_on_the_shelf_is_noticed() -> None:
    size = Tables().add(1, 2).swept().shelf.append(b"")
    entry = Tables().add(1, 2).swept().shelf.entry(1)
    length = (entry >> 3) & 0x7FFFFF
    assert 40 < length < size
    for bit in range(8 * length):
        tables = Tables().add(1, 2).swept()
        tables.shelf._log._bytes[1 + bit // 8] ^= 1 << bit % 8  # type: ignore[attr-defined]
        with pytest.raises(AssertionError, match="damaged"):
            tables.table[name_of(1)]


def test_files_hold_what_memory_holds(tmp_path: object) -> None:
    scratch = FileScratch(tmp_path)  # type: ignore[arg-type]
    tables = Tables(scratch).add(*range(1, 20_000, 7)).swept()  # type: ignore[arg-type]
    while tables.table.in_memory > 1:
        tables.swept()
    assert list(tables.whole.items()) == list(tables.table.items())
    assert list(tables.whole.fingerprint())[-1] == list(tables.table.fingerprint())[-1]


def test_ids_that_nobody_should_have_made_do_an_audit_no_harm() -> None:
    """Two things of one record, and one thing twice: all of them can be read."""
    shelf = Shelf(MemoryScratch(), SHARD)
    holds, others = Table(Hold, Hold.is_done), Table(Hold, Hold.is_done)
    holds.attach(shelf, 0, 0)
    others.attach(shelf, 1, 0)
    for table in (holds, others):
        for sequence in (1, 2, 3):
            table[name_of(sequence)] = hold(sequence)
        table.sweep(1_000)
    assert (1, 3) == (holds.in_memory, others.in_memory)
    holds[name_of(1)] = hold(7)
    holds[name_of(4)] = hold(4)
    for table in (holds, others):
        table.sweep(1_000)
        table.sweep(1_000)
    assert 7 == holds[name_of(1)].held_minor
    assert [1, 2, 3] == [others[name_of(n)].held_minor for n in (1, 2, 3)]
    assert [2, 3, 4] == [holds[name_of(n)].held_minor for n in (2, 3, 4)]
