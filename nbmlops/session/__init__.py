"""What every front calls: a notebook on disk, or the one in the live kernel."""
