"""Many networks trained at once in compiled code."""
