"""Watching what a stage's code does: the files, variables of the environment and modules that it uses, and what can be undone of it."""
