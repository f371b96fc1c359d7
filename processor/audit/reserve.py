"""What a shard is told: slices, reference data and the day, as the audit reckons.

The same contract as `purchases`: note, and return the lenders touched.
"""

from processor import events as e
from processor import limits
from processor.audit.books import Books, Program, Slice
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
            books.merchants[fact.merchant_id] = fact.category
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
    program = Program(
        fact.currency,
        tuple(share.lender_id for share in fact.shares),
        tuple(share.share_ppm for share in fact.shares),
        fact.capture_tolerance_ppm,
        0,
        [0] * len(fact.shares),
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
        sums = total.lenders.setdefault(lender_id, e.LenderTotals())
        sums.captured_minor += lender.captured_minor
        sums.refunded_minor += lender.refunded_minor
        sums.claim_repaid_minor += lender.claim_repaid_minor
        sums.claim_refunded_minor += lender.claim_refunded_minor
    for merchant_id, merchant in part.merchants.items():
        counts = total.merchants.setdefault(merchant_id, e.MerchantTotals())
        counts.captured_minor += merchant.captured_minor
        counts.captured_count += merchant.captured_count
        counts.refunded_minor += merchant.refunded_minor
        counts.refunded_count += merchant.refunded_count
    total.authorized_count += part.authorized_count
    total.declined_count += part.declined_count
    total.repaid_minor += part.repaid_minor
    total.repaid_count += part.repaid_count
