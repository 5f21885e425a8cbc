"""How good a ranking is: measures, protocols, intervals, paired tests.

In: `Codes`, or any `Ranking`, and what is relevant to each query.  Out: `Score`, a measure's mean
and its values.
Public: `Relevance`, `ClassRelevance`, `ListedRelevance`, `relevant_ranks`, `ranks_in`, `Measure`,
`average_precision`, `oxford_average_precision`, `Score`, `compare_scores`, `evaluate_codes`,
`evaluate_class_retrieval`.
"""
