"""The scenario book: short stories that a product manager can read and tests run.

`README.md` beside this file is the reference of the format.
"""
