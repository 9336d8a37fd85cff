"""Whether stages give the same twice, under other conditions, and what the cause is where they do not."""
