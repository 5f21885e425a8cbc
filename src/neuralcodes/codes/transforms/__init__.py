"""Transforms: fitted maps that make codes shorter or better, chained behind a network's code.

In: codes of images other than those that are searched.  Out: safetensors files, and codes again.
Public: `fit_transform`, `open_chain`, `apply_transforms`, `Chain`, `Training`, `Transform`.

A new one is one file here with a class under `@register`; see `registry`.
"""
