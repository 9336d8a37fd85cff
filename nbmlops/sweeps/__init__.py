"""Sweeps: trials of one notebook with parameters that Optuna chooses."""
