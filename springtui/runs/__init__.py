"""The Runs screen: all runs, live and past."""
