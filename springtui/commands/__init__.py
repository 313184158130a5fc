"""The verbs of the command line, one file per group. Heavy modules are imported inside a verb, never here."""
