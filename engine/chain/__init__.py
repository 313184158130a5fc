"""Chains of blocks and springs: simulated, compiled, and in the mean field."""
