"""Where pixels come from: files in folders or archives, decoded once, split reproducibly.

In: folders, zip files, known data sets, pictures in memory.  Out: `ImageSet`, n images as uint8
H×W×3 with labels.
Public: `ImageSet`, `class_folders`, `tiny_imagenet`, `ensure_tiny_imagenet`, `digits`,
`reference_split`, `decode`, `picture_bytes`.
"""
