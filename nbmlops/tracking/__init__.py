"""What watches a run: a durable outbox of its events, MLflow and Weights & Biases."""
