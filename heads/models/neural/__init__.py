"""Heads that are trained by gradient descent on Keras."""
