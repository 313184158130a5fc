"""The help, the glossary and the tour."""
