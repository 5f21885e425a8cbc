"""What people look at: figures and one self-contained HTML page a run.

In: a run's results (`RunContent`).  Out: `RUN/report.html` and `RUN/figures/*.png`.
Public: `RunContent`, `Comparison`, `write_report`, `history_figure`, `neighbours_figure`.
"""
