"""From a ranking to a better one: query expansion, database augmentation, re-ranking, diffusion.

In: `Search`, queries and database with the `Ranking` found so far.  Out: another, and its `Cost`.
Public: `Search`, `parse_steps`, `run_steps`, `Cost`.
"""
