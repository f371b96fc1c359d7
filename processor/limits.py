"""Every bound of the house, and how the bounds relate.

A bound is met with a fast refusal before anything is journaled, never with a
crash or an unbounded queue.  Nothing else may define one.  The assertions at
the end run on import: a change that breaks a relation does not start.
"""

from typing import Final

# Money.  JSON numbers are exact below 2**53 in every client.
JSON_INTEGER_MAX: Final = 2**53 - 1
AMOUNT_MINOR_MAX: Final = 10**12  # One command.
LIMIT_MINOR_MAX: Final = 10**13  # One account's limit.
RESERVE_MINOR_MAX: Final = 10**15  # One lender's deposits, advance line or cap.
FORCED_MINOR_MAX: Final = 10**15  # What one lender may owe beyond its line.
PPM: Final = 1_000_000
FITTING_STEPS_MAX: Final = 1_024  # Amounts tried for the largest that fits.

# Names.
ID_LENGTH_MAX: Final = 64
NAME_LENGTH_MAX: Final = 128
REFERENCE_LENGTH_MAX: Final = 64

# What one object may hold.
LENDERS_PER_PROGRAM_MAX: Final = 8
TENDERS_PER_ORDER_MAX: Final = 8
PLANS_PER_PROGRAM_MAX: Final = 32
PERIODS_MAX: Final = 120  # Of one plan.
DAY_OF_MONTH_MAX: Final = 28  # Every month has it.
LENDERS_MAX: Final = 1_000
PROGRAMS_MAX: Final = 10_000
MERCHANTS_MAX: Final = 1_000_000
FUNDS_PROPOSED_MAX: Final = 10_000  # Funds movements that wait for approval.
HOLDS_PER_ACCOUNT_MAX: Final = 1_000
STATEMENTS_PER_ACCOUNT_MAX: Final = 36  # Kept; older ones are in the journal.
AUTHORIZATIONS_PER_ACCOUNT_MAX: Final = 1_000  # Open ones.
FEE_PARTIES_MAX: Final = 8  # Who shares one merchant's fee.
SUBSIDIES_PER_MERCHANT_MAX: Final = 8
VELOCITY_CATEGORIES_MAX: Final = 32  # With limits of their own, per account.
DECLINED_EXPLAINED_MAX: Final = 100_000  # Declined authorizations kept, per shard.
EXPIRY_SECONDS_MAX: Final = 366 * 24 * 3_600

# Placement.
SLOTS: Final = 4_096
SHARDS_MAX: Final = 256

# A shard's batch: what one journal row may carry.
BATCH_COMMANDS_MAX: Final = 8_192
INBOX_COMMANDS_MAX: Final = 65_536
DAY_END_ACCOUNTS_PER_STEP_MAX: Final = 512  # Looked at between two batches.
PARKED_COMMANDS_MAX: Final = 8_192  # Waiting for reserve, per shard.
PARKED_MS_MAX: Final = 3_000
REFUSALS_MAX: Final = 2 * LENDERS_PER_PROGRAM_MAX + 1  # Of one partial approval.
REMEMBERED_REQUESTS_MAX: Final = 1_000_000  # Answers kept for replay, per journal.

REFERENCE_WAIT_MS_MAX: Final = 2_000  # For the shards to hold what was registered.

# Segments of a journal: one is sealed when it has so many records or bytes.
SEGMENT_RECORDS: Final = 200_000
SEGMENT_BYTES: Final = 128 * 1024 * 1024
SEGMENT_READERS_MAX: Final = 8  # Sealed ones kept open to look up rows.
ARCHIVE_BLOCK_BYTES: Final = 32 * 1024  # Before compression, of an archived one.

# The stream.
FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
WINDOW_COMMANDS_MAX: Final = 16_384  # In flight on one connection.
REFERENCE_ITEMS_PER_FRAME_MAX: Final = 1_000

# The door.
BODY_BYTES_MAX: Final = 1024 * 1024
BULK_BODY_BYTES_MAX: Final = 8 * 1024 * 1024
BULK_COMMANDS_MAX: Final = 8_192
REFUNDS_TOLD_MAX: Final = 1_024  # Earlier refunds in one calculation.
ANSWER_WAIT_MS_MAX: Final = 10_000
DRAIN_MS_MAX: Final = 10_000

# Reading an account's entries from the journal, between two steps.
ENTRIES_PER_READ_MAX: Final = 200
READINGS_MAX: Final = 64  # Begun or waiting, per shard.
READING_US_PER_TURN_MAX: Final = 250  # And then the row that is being read.

# Slices of reserve.
SLICE_SECONDS_AHEAD: Final = 2  # How much recent demand a slice should cover.
SLICE_SHARE_DIVISOR: Final = 2  # A grant leaves this part of what is unleased.

assert AMOUNT_MINOR_MAX <= LIMIT_MINOR_MAX <= RESERVE_MINOR_MAX < JSON_INTEGER_MAX
# Deposit, advance line, and what forced captures took beyond it.
assert 2 * RESERVE_MINOR_MAX + FORCED_MINOR_MAX < JSON_INTEGER_MAX
assert BULK_COMMANDS_MAX <= WINDOW_COMMANDS_MAX <= INBOX_COMMANDS_MAX
assert BATCH_COMMANDS_MAX <= INBOX_COMMANDS_MAX
assert REFERENCE_WAIT_MS_MAX < ANSWER_WAIT_MS_MAX
# Reading alone does not make the last in the queue wait too long.
assert (
    READINGS_MAX * ENTRIES_PER_READ_MAX * READING_US_PER_TURN_MAX
    < 1_000 * ANSWER_WAIT_MS_MAX
)
assert PARKED_MS_MAX < ANSWER_WAIT_MS_MAX <= DRAIN_MS_MAX
assert BODY_BYTES_MAX <= BULK_BODY_BYTES_MAX < FRAME_BYTES_MAX
assert SLOTS % 16 == 0  # Three hexadecimal digits name a slot.
assert SLOTS == 16**3
assert SHARDS_MAX <= 16**2  # Two hexadecimal digits name a shard.
assert SHARDS_MAX <= SLOTS
