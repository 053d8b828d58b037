"""A run's folder: its configuration, model, metrics and predictions."""
