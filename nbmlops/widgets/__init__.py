"""Panels that live below a cell: what a notebook shows of work that goes on while its kernel is free."""
