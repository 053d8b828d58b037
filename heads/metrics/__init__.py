"""Metrics, their bootstrap intervals, and what a difference from the floor tells."""
