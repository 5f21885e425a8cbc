"""Finding the nearest codes.

In: `Codes`.  Out: `Ranking`, database rows by distance for each query.
Public: `Ranking`, `search_exact`, `score_blocks`.
"""
