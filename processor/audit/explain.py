"""What each decision about a purchase had before it, as the audit reckons it.

The shard keeps it so that it can explain a decision later.  Here it is worked
out again from the audit's own accounts, slices, splits and tallies; that the
two are the same is found when the audit's model is held against the state.
"""

from processor import commands as c
from processor import events as e
from processor import limits
from processor.audit import velocity
from processor.audit.books import Before, Books, Declined, Program
from processor.audit.merchants import category_of


def before(
    books: Books, account_id: str, program: Program, merchant_id: str, hold_id: str
) -> Before:
    """What a purchase meets: the lenders' slices and shares, velocity, its hold."""
    tallies = books.accounts[account_id].tallies
    category = category_of(books, merchant_id)
    left = tuple(
        (
            reason.value,
            name,
            bound_minor - velocity.used(tally, reason, books.day, None),
        )
        for reason in velocity.VELOCITY_REASONS
        for name, tally in tallies.items()
        if name in ("", category)
        and (bound_minor := velocity.bound_of(tally, reason)) is not None
    )
    leases = [books.slices.get(lender_id) for lender_id in program.lenders]
    is_joint = len(program.lenders) > 1
    return Before(
        tuple(0 if lease is None else lease.free_minor for lease in leases),
        tuple(program.split.parts) if is_joint else (program.split.total_minor,),
        left,
        books.holds[hold_id].held_minor if hold_id else None,
        tuple(
            (pool_id, books.slices[pool_id].free_minor)
            for pool_id in books.pools_of(program)
            if pool_id not in program.lenders
        ),
    )


def keep_declined(books: Books, command: c.Command | None, event: e.Declined) -> None:
    """Check the name of a declined authorization, and keep what it met."""
    if not isinstance(command, c.Authorize | c.ConvertHold):
        books.differ("it gives an authorization's id to what is none.")
        return
    books.check_made_id(event.authorization_id)
    if event.at_ms != books.at_ms:
        books.differ(f"it says it was decided at {event.at_ms}, not {books.at_ms}.")
    hold_id = command.hold_id if isinstance(command, c.ConvertHold) else ""
    hold = books.holds.get(hold_id)
    account_id = hold.account_id if hold else getattr(command, "account_id", "")
    account = books.accounts.get(account_id)
    if account is None:
        books.differ(f"it gives an id to a wish of account {account_id!r}.")
        return
    program = books.current_programs[account.program_id]
    requested_minor = command.amount_minor or (hold.held_minor if hold else 0)
    books.declined[event.authorization_id] = Declined(
        account_id,
        command.merchant_id,
        books.day,
        requested_minor,
        account.open_to_buy_minor,
        event,
        before(books, account_id, program, command.merchant_id, hold_id),
    )
    books.declined_ids.append(event.authorization_id)
    if len(books.declined_ids) > limits.DECLINED_EXPLAINED_MAX:
        del books.declined[books.declined_ids.popleft()]
