"""Labels, predictions, features and splits: what heads learn from. Needs no framework."""
