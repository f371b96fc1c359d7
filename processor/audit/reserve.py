"""What a shard is told: slices, reference data and the day, as the audit reckons.

The same contract as `purchases`: note, and return the lenders touched.
"""

from processor import events as e
from processor import limits
from processor.audit.books import Books, Program, Slice
from processor.audit.days import number_of
from processor.audit.lines import Carry
from processor.audit.plans import Plan
from processor.audit.purchases import Touched


def slice_received(books: Books, event: e.SliceReceived) -> Touched:
    lease = books.slices.get(event.lender_id)
    if lease is None:
        books.differ(f"lender {event.lender_id} is not known to this shard.")
        return None
    more_minor = event.received_minor - lease.received_minor
    if more_minor <= 0:
        books.differ(f"what was received of {event.lender_id} falls by {-more_minor}.")
    lease.received_minor = event.received_minor
    lease.free_minor += more_minor
    return (event.lender_id,)


def slice_returned(books: Books, event: e.SliceReturned) -> Touched:
    lease = books.slices.get(event.lender_id)
    if lease is None:
        books.differ(f"lender {event.lender_id} is not known to this shard.")
        return None
    more_minor = event.returned_minor - lease.returned_minor
    if more_minor <= 0:
        books.differ(f"what was returned of {event.lender_id} falls by {-more_minor}.")
    lease.returned_minor = event.returned_minor
    books.spend(event.lender_id, more_minor)
    return (event.lender_id,)


def reference_received(books: Books, event: e.ReferenceReceived) -> Touched:
    for fact in event.facts:
        if isinstance(fact, e.LenderRegistered):
            books.slices.setdefault(fact.lender_id, Slice())
        elif isinstance(fact, e.MerchantRegistered):
            books.merchants.add(fact.merchant_id)
        else:
            _add_program(books, fact)
    books.facts += event.facts
    if event.version != len(books.facts):
        books.differ(
            f"it is version {event.version} of the reference data, "
            f"but {len(books.facts)} facts have come."
        )
    return ()


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
            figures[f"{name} of merchant {merchant_id}"] = getattr(merchant, name)
    return figures


def add_totals(total: e.DayTotals, part: e.DayTotals) -> None:
    """Add one shard's day to the totals of all, by the audit's own hand."""
    for lender_id, lender in part.lenders.items():
        _add(total.lenders.setdefault(lender_id, e.LenderTotals()), lender)
    for merchant_id, merchant in part.merchants.items():
        _add(total.merchants.setdefault(merchant_id, e.MerchantTotals()), merchant)
    total.authorized_count += part.authorized_count
    total.declined_count += part.declined_count
    total.repaid_minor += part.repaid_minor
    total.repaid_count += part.repaid_count
    total.returned_minor += part.returned_minor
    total.returned_count += part.returned_count


def _add(
    sums: e.LenderTotals | e.MerchantTotals, part: e.LenderTotals | e.MerchantTotals
) -> None:
    """Field by field; all of them are sums."""
    for name in part.__struct_fields__:
        setattr(sums, name, getattr(sums, name) + getattr(part, name))
