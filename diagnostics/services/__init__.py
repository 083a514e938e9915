"""Verbs: typed, keyword-only functions that write."""
