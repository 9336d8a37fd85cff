"""What a stage leaves behind that is neither a variable nor a file, and what its end would cut off."""
