"""What a shard is told: slices, reference data and the day, as the audit reckons.

The same contract as `purchases`: note, and return the lenders touched.
"""

from processor import events as e
from processor import limits
from processor.audit import merchants
from processor.audit.books import Books, Program, Slice
from processor.audit.days import number_of
from processor.audit.lines import Carry
from processor.audit.plans import Plan
from processor.audit.purchases import Touched
from processor.pools import daily_pool


def slice_received(books: Books, event: e.SliceReceived) -> Touched:
    lease = books.slices.get(event.pool_id)
    if lease is None:
        books.differ(f"lender {event.pool_id} is not known to this shard.")
        return None
    more_minor = event.received_minor - lease.received_minor
    if more_minor <= 0:
        books.differ(f"what was received of {event.pool_id} falls by {-more_minor}.")
    lease.received_minor = event.received_minor
    lease.free_minor += more_minor
    forced_minor = event.forced_minor - lease.forced_minor
    if not 0 <= forced_minor <= more_minor:
        books.differ(f"{forced_minor} of {more_minor} received is said to be forced.")
    lease.forced_minor = event.forced_minor
    lease.forced_held_minor += forced_minor
    return (event.pool_id,)


def slice_returned(books: Books, event: e.SliceReturned) -> Touched:
    lease = books.slices.get(event.pool_id)
    if lease is None:
        books.differ(f"lender {event.pool_id} is not known to this shard.")
        return None
    more_minor = event.returned_minor - lease.returned_minor
    if more_minor <= 0:
        books.differ(f"what was returned of {event.pool_id} falls by {-more_minor}.")
    lease.returned_minor = event.returned_minor
    lease.forced_held_minor = max(0, lease.forced_held_minor - more_minor)
    books.spend(event.pool_id, more_minor)
    return (event.pool_id,)


def reference_received(books: Books, event: e.ReferenceReceived) -> Touched:
    for fact in event.facts:
        if isinstance(fact, e.LenderRegistered):
            books.slices.setdefault(fact.lender_id, Slice())
        elif isinstance(fact, e.LenderSuspended):
            books.suspended.add(fact.lender_id)
        elif isinstance(fact, e.LenderResumed):
            books.suspended.discard(fact.lender_id)
        elif isinstance(fact, e.DailyCapSet):
            _set_cap(books, fact)
        elif isinstance(fact, e.ProgramCapSet):
            _set_program_cap(books, fact)
        elif isinstance(fact, e.MerchantRegistered | e.MerchantChanged):
            merchants.terms_received(books, fact)
        else:
            _add_program(books, fact)
    books.facts += event.facts
    if event.version != len(books.facts):
        books.differ(
            f"it is version {event.version} of the reference data, "
            f"but {len(books.facts)} facts have come."
        )
    return ()


def _set_cap(books: Books, fact: e.DailyCapSet) -> None:
    """A cap counts from here; one that is lifted has counted nothing."""
    lender_id = fact.lender_id
    if fact.daily_cap_minor is None:
        if books.caps.pop(lender_id, None) is not None:
            books.end_caps((lender_id,))
    elif lender_id not in books.caps:
        books.caps_before[lender_id] += 1
        books.caps[lender_id] = books.caps_before[lender_id]
        books.slices.setdefault(daily_pool(lender_id), Slice())


def _set_program_cap(books: Books, fact: e.ProgramCapSet) -> None:
    """What is lent out counts at once; nothing of the new pool is here yet."""
    capped = (fact.program_id, fact.lender_id)
    before = books.program_caps.pop(capped, None)
    if before is not None:
        del books.slices[before]
    if fact.program_cap_minor is not None:
        lent = books.lent_minor(*capped)
        books.program_caps[capped] = fact.pool_id
        books.slices[fact.pool_id] = Slice(free_minor=-lent, authorized_minor=lent)


def _add_program(books: Books, fact: e.ProgramRegistered) -> None:
    none = [0] * len(fact.shares)
    program = Program(
        fact.program_id,
        fact.currency,
        tuple(share.lender_id for share in fact.shares),
        tuple(share.share_ppm for share in fact.shares),
        fact.capture_tolerance_ppm,
        Carry(0, none),
        Carry(0, none.copy()),
        {
            plan.plan_id: Plan(
                plan.periods, plan.method, plan.rate_ppm, plan.payer == "merchant"
            )
            for plan in fact.plans
        },
        fact.terms,
    )
    if sum(program.shares_ppm) != limits.PPM:
        books.differ(f"the shares of program {fact.program_id} are not whole.")
    books.programs[fact.program_id, fact.version] = program
    books.current_programs[fact.program_id] = program


def day_moved(books: Books, event: e.DayMoved) -> Touched:
    if event.day != books.day:
        books.differ(f"it ends the day {event.day}, but the day is {books.day}.")
    if event.next_day <= event.day:
        books.differ(f"the day moves from {event.day} back to {event.next_day}.")
    for text in differing_totals(event.totals, books.totals):
        books.differ(f"the totals of {event.day} have {text}.")
    books.day_ends[event.day] = (books.sequence, event.totals)
    books.day = event.next_day
    books.today = number_of(event.next_day) or books.today
    add_totals(books.ended_totals, books.totals)
    books.totals = e.DayTotals()
    books.end_caps(tuple(books.caps))
    return ()


def differing_totals(said: e.DayTotals, own: e.DayTotals) -> list[str]:
    """Each figure that differs, as a phrase; nothing and zero are the same."""
    said_figures, own_figures = figures_of(said), figures_of(own)
    return [
        f"{name} {said_figures.get(name, 0)}, by the records it is "
        f"{own_figures.get(name, 0)}"
        for name in sorted(said_figures.keys() | own_figures.keys())
        if said_figures.get(name, 0) != own_figures.get(name, 0)
    ]


def figures_of(totals: e.DayTotals) -> dict[str, int]:
    """A day's totals as one flat dict."""
    figures = {
        "authorized_count": totals.authorized_count,
        "declined_count": totals.declined_count,
        "repaid_minor": totals.repaid_minor,
        "repaid_count": totals.repaid_count,
        "returned_minor": totals.returned_minor,
        "returned_count": totals.returned_count,
    }
    for lender_id, lender in totals.lenders.items():
        for name in e.LenderTotals.__struct_fields__:
            figures[f"{name} of lender {lender_id}"] = getattr(lender, name)
    for merchant_id, merchant in totals.merchants.items():
        for name in e.MerchantTotals.__struct_fields__:
            if name != "payout_minor":
                figures[f"{name} of merchant {merchant_id}"] = getattr(merchant, name)
        for currency, minor in merchant.payout_minor.items():
            figures[f"payout_minor of merchant {merchant_id} in {currency}"] = minor
    for party_id, of_party in totals.parties.items():
        for currency, party in of_party.items():
            who = f"of party {party_id} in {currency}"
            figures[f"fee_minor {who}"] = party.fee_minor
            figures[f"fee_back_minor {who}"] = party.fee_back_minor
    for payer_id, of_payer in totals.payers.items():
        for currency, payer in of_payer.items():
            who = f"of payer {payer_id} in {currency}"
            figures[f"subsidy_minor {who}"] = payer.subsidy_minor
            figures[f"subsidy_back_minor {who}"] = payer.subsidy_back_minor
    return figures


def add_totals(total: e.DayTotals, part: e.DayTotals) -> None:
    """Add one shard's day to the totals of all, by the audit's own hand."""
    for lender_id, lender in part.lenders.items():
        _add(total.lenders.setdefault(lender_id, e.LenderTotals()), lender)
    for merchant_id, merchant in part.merchants.items():
        _add(total.merchants.setdefault(merchant_id, e.MerchantTotals()), merchant)
    merchants.add_charge_totals(total, part)
    total.authorized_count += part.authorized_count
    total.declined_count += part.declined_count
    total.repaid_minor += part.repaid_minor
    total.repaid_count += part.repaid_count
    total.returned_minor += part.returned_minor
    total.returned_count += part.returned_count


def _add(
    sums: e.LenderTotals | e.MerchantTotals, part: e.LenderTotals | e.MerchantTotals
) -> None:
    """Field by field; all of them are sums, a payout by currency."""
    for name in part.__struct_fields__:
        if name != "payout_minor":
            setattr(sums, name, getattr(sums, name) + getattr(part, name))
    if isinstance(sums, e.MerchantTotals) and isinstance(part, e.MerchantTotals):
        for currency, minor in part.payout_minor.items():
            sums.pay_out(currency, minor)
