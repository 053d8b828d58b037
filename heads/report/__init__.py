"""Leaderboards and pages about runs."""
