"""The notebook in a live kernel: its stage cells are reused, run, recorded, and checked for hidden state."""
