"""What trainings print: lines of names and numbers, dictionaries, progress bars and tables, read as they come.

``LineParser`` makes points of printed bytes, wherever these come from; ``ConsoleReader`` follows a file with it.
"""
