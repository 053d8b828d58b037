"""Photographs decoded and cut into views."""
