"""Random lives in debt stand the audit, and what is forged in them does not."""

import random
from typing import Any

import msgspec
import pytest

from processor import events as e
from processor.audit.compare import compare_with_state
from processor.audit.ended_days import check_all_ended
from processor.audit.report import AuditReport, audit
from processor.audit.shard import ShardAudit
from processor.records import SHARD_RECORDS, ShardRecord
from tests.unit.debt_lives import DebtLives
from tests.unit.house_in_memory import Rows
from tests.unit.tampering import OF_DEBTS

AND_OF_SHOPS = (*OF_DEBTS, e.ForceCaptured, e.Captured, e.Refunded, e.Repaid)


@pytest.mark.parametrize("seed", range(8))
def test_lives_in_debt_stand_the_audit(seed: int) -> None:
    lives = DebtLives(seed)
    lives.live(days=60, acts=12)

    report = lives.audit()

    assert report.differences == [], f"seed {seed}"
    assert report.is_clean, f"seed {seed}"
    for shard, rows in zip(lives.house.shards, lives.house.shard_rows, strict=True):
        model = ShardAudit(rows.identity)
        for batch in rows.batches:
            model.batch(batch)
        check_all_ended(model.books)
        assert model.differences == [], f"seed {seed}"
        assert compare_with_state(model, shard.state) == [], f"seed {seed}"


def test_everything_happens_in_such_lives() -> None:
    counts: dict[str, int] = {}
    for seed in range(8):
        lives = DebtLives(seed)
        lives.live(days=60, acts=12)
        for name, count in lives.audit().counts.items():
            counts[name] = counts.get(name, 0) + count

    lived = (*AND_OF_SHOPS, e.MerchantChanged, e.MerchantWithheld)
    rare = {kind.__name__ for kind in lived if counts.get(kind.__name__, 0) < 3}
    assert rare == set()


class Forger:
    """Changes one field of one event of a life, somewhere, somehow."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.house = DebtLives(seed)
        self.house.live(days=40, acts=10)
        self.rows = self.house.house.shard_rows
        self.records = [
            [r for batch in rows.batches for r in SHARD_RECORDS.decode(batch.records)]
            for rows in self.rows
        ]

    def forge(self) -> tuple[str, AuditReport] | None:
        """What was forged, and the report on it; None if nothing was."""
        shard = self.dice.randrange(2)
        records = list(self.records[shard])
        places = [i for i, r in enumerate(records) if isinstance(r.event, AND_OF_SHOPS)]
        if not places:
            return None
        kinds = sorted({type(records[i].event).__name__ for i in places})
        kind = self.dice.choice(kinds)
        place = self.dice.choice(
            [i for i in places if type(records[i].event).__name__ == kind]
        )
        event = records[place].event
        name = self.dice.choice(list(event.__struct_fields__))
        old = getattr(event, name)
        new = self.other(old)
        if new is None or new == old:
            return None
        forged: Any = msgspec.structs.replace(event, **{name: new})
        records[place] = ShardRecord(records[place].command, forged)
        return f"{kind}.{name} {old} -> {new}", self.audited(shard, records)

    def other(self, value: Any) -> Any:
        """Something like it; None if there is nothing."""
        dice = self.dice
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return value + dice.choice([-1, 1, 2, 30, -1_000])
        if isinstance(value, str) and type(value) is str:
            return dice.choice([value + "x", "", value[:-1] + "0"])
        if isinstance(value, tuple) and value:
            index = dice.randrange(len(value))
            before, one, after = value[:index], value[index], value[index + 1 :]
            changed = self.other(one)
            made = None if changed is None else (*before, changed, *after)
            return dice.choice([(*before, *after), (*value, one), made, made])
        if isinstance(value, msgspec.Struct):
            name = dice.choice(list(value.__struct_fields__))
            changed = self.other(getattr(value, name))
            if changed is not None:
                return msgspec.structs.replace(value, **{name: changed})
        return None

    def audited(self, shard: int, records: list[ShardRecord]) -> AuditReport:
        found = [rows.batches for rows in self.rows]
        forged, at = Rows(self.rows[shard].identity), 0
        for batch in found[shard]:
            count = batch.last_sequence - batch.first_sequence + 1
            forged.append(batch.day, batch.at_ms, records[at : at + count])
            at += count
        found[shard] = forged.batches
        settlement = self.house.house.settlement_rows
        return audit(
            (settlement.identity, settlement.batches),
            [(rows.identity, own) for rows, own in zip(self.rows, found, strict=True)],
        )


@pytest.mark.parametrize("seed", range(4))
def test_no_forged_debt_passes(seed: int) -> None:
    forger = Forger(seed)
    forged = [made for made in (forger.forge() for _ in range(60)) if made is not None]

    assert len(forged) > 20
    assert [what for what, report in forged if report.is_clean] == [], f"seed {seed}"
