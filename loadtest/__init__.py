"""The crowd: one realistic mix of requests, every answer checked.

`workload` and `expected` are pure: seeded wishes on one side, the client's own
account of what must be true on the other.  The rest sends, records and
reconciles.  Importing this package imports neither Locust nor gevent.
"""
