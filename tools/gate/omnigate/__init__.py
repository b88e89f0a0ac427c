"""The gate: reads what Bazel did, measures what it built, and says what is wrong.

Standard library only, so that it still runs when the build it reports on is broken.
Data flows one way: `bep` and `measure` read, `verdict` judges, `report` folds
everything into one JSON-able dict, and the renderers turn that dict into the page,
the badges, the metrics, JUnit and the terminal summary.
"""
