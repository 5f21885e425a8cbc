"""Networks, their named layers, and their weights.

In: uint8 pixels as tensors.  Out: activations of any layer.
Public: `get_network`, `register`, `Tap`, `layer_table`, `save_tensors`, `load_weights`,
`weights_hash`, `choose_runtime`.
"""
