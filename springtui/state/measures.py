"""The measures that a load curve can be drawn in."""

from __future__ import annotations

PROBES = "linear_probes"
"""Accuracy of a linear classifier on each layer; costs time, so the worker takes it only while it is looked at."""
SEPARATIONS = ("trace_ratio", "fuzziness", "inverse_fuzziness")
MEASURES = (*SEPARATIONS, PROBES)
