"""What is particular to terminals: text, size, pace, output in few bytes, queries."""
