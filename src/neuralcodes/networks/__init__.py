"""Networks, their named layers, and their weights: ours, and those of other libraries by name.

In: uint8 pixels as tensors.  Out: activations of any layer.
Public: `open_network`, `get_network`, `register`, `Tap`, `layer_table`, `save_tensors`,
`load_weights`, `weights_hash`, `choose_runtime`.
"""
