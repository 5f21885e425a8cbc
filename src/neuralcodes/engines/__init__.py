"""Work on many machines.

In: a collection's jobs, codes in shards.  Out: the same codes and ranks as on one machine.
Public: `RayEngine` (extraction), `ray_map` (evaluation of a database in shards).
"""
