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
REFUSALS_MAX: Final = 3 * LENDERS_PER_PROGRAM_MAX + 1  # Of one partial approval.

# What is remembered, and where.  The first three are of one journal.
REMEMBERED_REQUESTS_MAX: Final = 2**26  # Beyond that the oldest are forgotten.
REMEMBERED_RECENT_MIN: Final = 2**8  # In memory as they are: what a cache holds.
REMEMBERED_READS_PER_STEP_MAX: Final = 256  # Journal rows, for older ones.
GENERATION_REQUESTS_MIN: Final = 2**18
GENERATION_REQUESTS_MAX: Final = 2**22
KEEP_ANSWERS_MS: Final = 7 * 24 * 3_600_000  # Unless configured otherwise.
KEEP_ANSWERS_MS_MIN: Final = 3_600_000
KEEP_ANSWERS_MS_MAX: Final = 366 * 24 * 3_600_000

# What is done leaves memory: objects of one table that stay all the same, and
# how many are looked at in one sweep, besides two for each record since the last.
OBJECTS_IN_MEMORY_MIN: Final = 2**12
AUDIT_OBJECTS_IN_MEMORY_MIN: Final = 2**16  # An audit of less is faster without.
OBJECTS_SWEPT_RECORDS: Final = 2**6  # Not after each step: after so many records.
OBJECTS_LOOKED_AT_MIN: Final = 64
OBJECTS_LOOKED_AT_MAX: Final = 1_024

# Between two steps of a node: after so many records the collector looks at what is
# youngest, and every so many times also at what was left of that.
COLLECTED_RECORDS: Final = 256
COLLECTED_TIMES: Final = 16

REFERENCE_WAIT_MS_MAX: Final = 2_000  # For the shards to hold what was registered.

# Segments of a journal: one is sealed when it has so many records or bytes.
SEGMENT_RECORDS: Final = 200_000
SEGMENT_BYTES: Final = 128 * 1024 * 1024
SEGMENT_READERS_MAX: Final = 8  # Sealed ones kept open to look up rows.
ARCHIVE_BLOCK_BYTES: Final = 32 * 1024  # Before compression, of an archived one.
PIECE_BYTES: Final = 32 * 1024 * 1024  # Of what snapshots share.
PIECE_READERS_MAX: Final = 8  # Kept open.

# The stream.
FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
WINDOW_COMMANDS_MAX: Final = 16_384  # In flight on one connection.
# What a gateway sends to a node is bounded by the time it waits there.
NODE_WAIT_MS_TARGET: Final = 50
TURN_REQUESTS_MAX: Final = 512  # Read in one turn of a gateway's event loop,
TURN_LATE_REQUESTS_MAX: Final = 64  # and so many more of each API key.
NODE_COMMANDS_FIRST: Final = 2_048  # Until something was measured.
NODE_COMMANDS_LEAST: Final = 256  # However slow the node is.
SENDER_COMMANDS_LEAST: Final = 8  # One API key's, however full the node is.
REFERENCE_ITEMS_PER_FRAME_MAX: Final = 1_000

# The door.
BODY_BYTES_MAX: Final = 1024 * 1024
BULK_BODY_BYTES_MAX: Final = 8 * 1024 * 1024
BULK_COMMANDS_MAX: Final = 8_192
REFUNDS_TOLD_MAX: Final = 1_024  # Earlier refunds in one calculation.
ANSWER_WAIT_MS_MAX: Final = 10_000
# Of a command's time, what is left for the answer once the last moment to decide
# has come: a part of it, and this at most.
ANSWER_TIME_DIVISOR: Final = 10
ANSWER_TIME_MS_MAX: Final = 100
KEY_WEIGHT_MAX: Final = 100
CONNECTIONS_MAX: Final = 4_096  # Of clients.
FILES_KEPT: Final = 256  # Descriptors that are not for clients.
REQUEST_READ_MS_MAX: Final = 15_000  # From a request's first byte to its last.
ANSWER_READ_MS_MAX: Final = 15_000  # For a client to take what it was sent.
PIPELINED_MAX: Final = 128  # Requests behind the one in hand, on one connection.
DRAIN_MS_MAX: Final = 10_000

# A node that lives and says nothing.
BEAT_MS: Final = 500  # Between two looks for a sign of life.
SILENT_BEATS_MAX: Final = 10  # Then it is replaced.
START_SILENT_BEATS_MAX: Final = 120  # While it recovers.

# Reading an account's entries from the journal, between two steps.
ENTRIES_PER_READ_MAX: Final = 200
READINGS_MAX: Final = 64  # Begun or waiting, per shard.
READING_US_PER_TURN_MAX: Final = 250  # And then the row that is being read.

# How far a shard's journal has come, as settlement knows it: what an old copy of
# it can be behind without being recognized.  Then, at the latest, it is told.
PROGRESS_MS_MAX: Final = 5_000
PROGRESS_RECORDS_MAX: Final = 20_000

# Slices of reserve.
SLICE_SECONDS_AHEAD: Final = 2  # How much recent demand a slice should cover.
SLICE_SHARE_DIVISOR: Final = 2  # A grant leaves this part of what is unleased.

assert AMOUNT_MINOR_MAX <= LIMIT_MINOR_MAX <= RESERVE_MINOR_MAX < JSON_INTEGER_MAX
# Deposit, advance line, and what forced captures took beyond it.
assert 2 * RESERVE_MINOR_MAX + FORCED_MINOR_MAX < JSON_INTEGER_MAX
assert BULK_COMMANDS_MAX <= WINDOW_COMMANDS_MAX <= INBOX_COMMANDS_MAX
assert NODE_COMMANDS_LEAST <= NODE_COMMANDS_FIRST <= WINDOW_COMMANDS_MAX
assert SENDER_COMMANDS_LEAST <= NODE_COMMANDS_LEAST
assert NODE_WAIT_MS_TARGET < ANSWER_WAIT_MS_MAX
assert TURN_REQUESTS_MAX < CONNECTIONS_MAX
assert ANSWER_TIME_MS_MAX < ANSWER_WAIT_MS_MAX
assert ANSWER_WAIT_MS_MAX < REQUEST_READ_MS_MAX  # Slow bodies are told why.
assert BATCH_COMMANDS_MAX <= INBOX_COMMANDS_MAX
assert REFERENCE_WAIT_MS_MAX < ANSWER_WAIT_MS_MAX
# Reading alone does not make the last in the queue wait too long.
assert (
    READINGS_MAX * ENTRIES_PER_READ_MAX * READING_US_PER_TURN_MAX
    < 1_000 * ANSWER_WAIT_MS_MAX
)
assert PARKED_MS_MAX < ANSWER_WAIT_MS_MAX <= DRAIN_MS_MAX
assert GENERATION_REQUESTS_MAX < REMEMBERED_REQUESTS_MAX
assert REMEMBERED_RECENT_MIN <= GENERATION_REQUESTS_MIN <= GENERATION_REQUESTS_MAX
assert ANSWER_WAIT_MS_MAX < KEEP_ANSWERS_MS_MIN <= KEEP_ANSWERS_MS
assert KEEP_ANSWERS_MS <= KEEP_ANSWERS_MS_MAX
# A node that is only waiting for another is heard in time; who waits for one that
# is not heard is told so, and may ask its successor.
assert PARKED_MS_MAX < BEAT_MS * SILENT_BEATS_MAX < ANSWER_WAIT_MS_MAX
assert SILENT_BEATS_MAX < START_SILENT_BEATS_MAX
assert BODY_BYTES_MAX <= BULK_BODY_BYTES_MAX < FRAME_BYTES_MAX
assert SLOTS % 16 == 0  # Three hexadecimal digits name a slot.
assert SLOTS == 16**3
assert SHARDS_MAX <= 16**2  # Two hexadecimal digits name a shard.
assert SHARDS_MAX <= SLOTS
