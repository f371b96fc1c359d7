"""Random lives in debt stand the audit, and what is forged in them does not."""

import pytest

from processor.audit.compare import compare_with_state
from processor.audit.shard import ShardAudit
from tests.unit.debt_lives import DebtLives


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
        assert compare_with_state(model, shard.state) == [], f"seed {seed}"
