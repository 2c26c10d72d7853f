"""Training, packaging and evaluating a model: the only part that needs labels."""
