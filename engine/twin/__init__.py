"""The chain that a network behaves like: fitted maps and advice."""
