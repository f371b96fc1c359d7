"""The door: HTTP in, commands out to the nodes, their answers back.

Its rule: nothing here decides anything about money.  The gateway checks forms
and bounds, names who asks, and passes the shard's bytes on.  It never maps an
unknown outcome to declined or approved, and never touches a journal.
"""
