"""The rules: pure and deterministic, and the journal that keeps them.

Read in this order to follow one purchase: `commands`, `shard` (a batch comes
in), `machine` and `authorizations` (decide, apply), `apportion` (the lenders'
parts), `journal` (durable), `answers` (what the caller is told).  Then
`settlement` for where the reserve comes from, and `audit` for how it is all
checked again.  DESIGN.md has the reasons.
"""
