"""LoadProbe: measures a user's own model while it trains."""
