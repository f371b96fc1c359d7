"""What is kept on disk: the segments of journals, and snapshots of their state.

Everything in `processor/` that opens a file is in here and in `journal.py`.
"""
