"""LoadProbe: a user's own model, measured while it trains."""
