"""Whole experiments: the steps in order, each leaving its part in a run folder.

In: images and a configuration.  Out: a run folder (config, history, weights, metrics, report).
Public: `Configuration`, `prepare`, `train_run`, `evaluate_run`, `report_run`, `reproduce`,
`retrain`; `fit`, `choose`, `explain`, `calibrate_codes` and `extract_codes` on images at hand.
"""
