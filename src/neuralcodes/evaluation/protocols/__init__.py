"""The field's protocols, one file each: from their official files to what is right for a query.

In: files on disk and the images' names.  Out: `GroundTruth`; bound to codes: `Relevance`.
Public: `get_protocol`, `protocols`, `register`, `GroundTruth`, `Query`, `bind`.
"""
