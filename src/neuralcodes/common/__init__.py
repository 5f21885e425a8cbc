"""What every folder leans on: errors a user can cause, atomic files, progress, the machine.

In: nothing of ours.  Out: small helpers without opinions about images or codes.
Public: `UserError`, `Registry`, `atomic_write`, `write_json`, `read_json`, `progress`,
`wilson_interval`, `describe_machine`, `Team`.
"""
