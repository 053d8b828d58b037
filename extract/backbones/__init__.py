"""Frozen networks: their layers, weights and the engines that run them."""
