"""Adapters of the load probe for other people's trainers and trackers. Each needs its own library, and no app."""
