"""What people said of photographs: readers of labels, and splits."""
