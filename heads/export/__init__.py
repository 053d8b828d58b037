"""One model from image to score, in the formats of other runtimes."""
