"""Turn a pipeline, a plan or a run into something to look at: pure functions of the standard library alone."""
