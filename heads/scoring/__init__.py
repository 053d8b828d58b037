"""New photographs, scored by trained heads."""
