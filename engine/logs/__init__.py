"""Reading the logs that other tools write: live, in place, without a byte written beside them.

A ``Format`` says which runs of its kind a folder holds; a ``Reader`` reads one of these runs piece by piece and
gives ``Batch`` after ``Batch``; ``Columns`` hold all points of a run. Importing this package is cheap: modules
with compiled code are imported by the process that reads, never by the app.
"""
