"""Which code to use, found by measuring many on a user's own images.

In: images with classes, or without (then augmented views stand in for them), and networks.
Out: `Choice`, every code's quality, size and speed, and the one recommended, with how sure that is.
Public: `expand`, `label_task`, `view_task`, `sweep`, `decide`, `measure_index`, `agree`, `Choice`.
"""
