"""The user's own pictures, kept up to date: stored, searched, checked.

In: folders, zip and tar files, pictures in memory.  Out: `Results` of searches, `Duplicates`.
Public: `Collection`.
"""
