"""Image files by their parts, without decoding: the picture alone, and what is said beside it."""
