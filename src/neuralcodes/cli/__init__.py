"""The command line: one file a verb, which parses, calls and prints; no logic.

In: what the user types.  Out: text, files, exit status (2 with one line for what a user can mend).
Public: `main`.
"""
