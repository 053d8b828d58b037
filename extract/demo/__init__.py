"""A small simulated AVA, made of photographs that installed packages ship."""
