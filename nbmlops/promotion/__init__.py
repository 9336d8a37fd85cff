"""From a model that a stage has made to the one in use: registration, evidence, aliases, and the log of who moved them and why."""
