"""A small set with simulated votes, made of photographs that installed packages ship."""
