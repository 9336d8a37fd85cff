"""The pipeline that a notebook describes: stages, artifacts, parameters, edges, diagnostics."""
