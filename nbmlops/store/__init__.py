"""Artifacts by digest, records by stage key, runs: written once, verified on every read."""
