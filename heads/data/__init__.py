"""Labels, predictions, features and splits: what heads learn from, in numpy alone."""
