"""A second calculation: what the journals say, by arithmetic of its own.

Nothing here may use the rules or `apply`; only `compare` and `verdict` look at
the states they build.  Read `postings` (the chart of accounts), then `books`,
`shard` and `settlement` (one journal each), then `between` and `certificates`
(what one journal says of another), `report`, and `verdict`.

Of debts: `plans` and `schedules` (how a capture becomes lines), `paying` (what a
payment pays and a return undoes), `money`, `refunds`, `plan_changes` and `losses`
(who asked for what), `statements` and `ended_days` (what time brings, and that
none of it is missing), `balances` (the end).
"""
