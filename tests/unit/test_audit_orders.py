"""The audit of orders: what comes to the credit line, and what does not."""

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.audit.compare import compare_with_state
from processor.audit.shard import ShardAudit
from processor.tenders import Tender, TenderKind
from processor.terms import MerchantTerms
from tests.unit.journals_by_hand import rechained
from tests.unit.one_shard import IDENTITY, OneShard

ORDER = (
    Tender(TenderKind.EXTERNAL, "wallet", 300),
    Tender(TenderKind.CREDIT_LINE, "ours", 200),
)


def an_order() -> tuple[OneShard, str]:
    """Captured at a merchant who pays 2 %."""
    shard = OneShard().welcomed()
    shares = (c.Share("L", 1_000_000),)
    facts = (
        e.LenderRegistered("L", "EUR", "", 0),
        e.MerchantRegistered("m", "", MerchantTerms(fee_ppm=20_000)),
        e.ProgramRegistered("p", 1, "EUR", shares, 10**6, 10**6, 0),
    )
    shard.told(m.ReferenceSent(len(facts), facts), m.GrantSlice("L", 1_000))
    shard.ask(c.OpenAccount, "a", "p", "EUR", 1_000)
    wish = ("a", "m", 200, "EUR", True, "", "", ORDER)
    return shard, shard.ask(c.Authorize, *wish)["authorization_id"]


def audited(shard: OneShard) -> list[str]:
    model = ShardAudit(IDENTITY)
    for batch in rechained(IDENTITY, shard.batches):
        model.batch(batch)
    model.finish()
    return [*model.differences, *compare_with_state(model, shard.state)]


def test_a_refund_that_does_not_reach_the_credit_line_leaves_its_charge() -> None:
    shard, bought = an_order()

    shard.ask(c.Refund, bought, 250, "", True)  # All of it to the wallet.
    assert [] == audited(shard)

    shard.ask(c.Refund, bought, None, "", True)
    charge = shard.state.authorizations[bought].charge
    assert (4,) == charge.fee_parts == charge.fee_back_parts
    assert [] == audited(shard)
