"""The Phase screen: a diagram of networks and the chain's beside it."""
