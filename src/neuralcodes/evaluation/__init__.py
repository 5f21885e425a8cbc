"""How good a ranking is: measures, protocols, intervals.

In: `Codes` and what is relevant to each query.  Out: `Score`, a measure's mean and its values.
Public: `Relevance`, `ClassRelevance`, `relevant_ranks`, `average_precision`, `Score`,
`evaluate_class_retrieval`.
"""
