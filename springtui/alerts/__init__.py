"""Rules that ring the bell or start a command when a run ends or a value crosses a limit."""
