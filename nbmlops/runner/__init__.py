"""What happens to one stage: its key, its plan, its process, its outputs."""
