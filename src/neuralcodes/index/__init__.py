"""Finding the nearest codes.

In: codes by id or row.  Out: `Ranking`, the nearest of each query with their distances.
Public: `Ranking`, `search_exact`; `IndexBackend` and its kinds by `get_backend`; `choose_index`,
`tune` (recall as a promise).
"""
