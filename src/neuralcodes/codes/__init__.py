"""Codes of images: what a code is (`CodeSpec`), making codes (`Encoder`), keeping them (`Codes`).

In: a network with weights, image sets.  Out: unit-length float32 codes, n×d, one row an image.
Public: `CodeSpec`, `parse_code`, `Encoder`, `Codes`, `save_codes`, `load_codes`; poolings and, in
`transforms`, the fitted maps behind them.
"""
