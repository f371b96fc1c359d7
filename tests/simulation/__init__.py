"""The house in one thread and virtual time, out of one seed.

    story       what is going to happen: wishes, bad luck, all as a list of deeds
    world       one story in one house: safety while faults last, then liveness
    house       hosts, gateways, supervision; everything inside is the real code
    virtual     time, processes, their event loops
    network     connections that delay, stall, break and stay half open
    disk        segments and snapshots under the real journal, and how they fail
    clients     errands through either gateway, asked again until answered
    crowd       the load test's customers, judged by the load test's own books
    town        operators and shoppers whose answers nobody can foresee
    judge       what is durable, what was promised; `naive_house` adds it all up
    luck        one function a fault, each with how it ends
    outcome     what came of a story, and the shortest that ends the same way
    planted     houses with one bug each, which must all be caught

Real are recovery, shards, settlement, `Runner`, both ends of every connection,
frames, windows, routing, the door, the journal and its snapshots: the asyncio
code runs unchanged on loops that know no time but the story's.  Stood in for
are Ray (a supervisor of some lines), sockets, SQLite, the keeper's process, and
HTTP.

Not covered: what SQLite, the kernel or the disk do against their word (a sync
that lies), two faults that destroy the only good copy, memory that rots, a disk
that fails while a snapshot is written, and debts: no story has instalments, or
lasts until the first statement.
"""
