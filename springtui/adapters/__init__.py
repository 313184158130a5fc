"""Adapters of the load probe to other libraries' trainers and trackers; each needs its library, none the app."""
