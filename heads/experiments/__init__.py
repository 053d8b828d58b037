"""Training, cross-validation, sweeps and learning curves, callable from Python."""
