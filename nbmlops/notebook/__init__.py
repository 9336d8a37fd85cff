"""Read a notebook: cells, directives and roles."""
