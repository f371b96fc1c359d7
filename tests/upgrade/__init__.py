"""Journals that released versions have written, and what they must replay to."""
