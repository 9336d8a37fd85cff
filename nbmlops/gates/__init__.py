"""Gates in a stage's code: data validation, metrics by group, explanations. Each leaves evidence with the stage."""
