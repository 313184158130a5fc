"""The Watch screen: one run, live or replayed."""
