"""The heads: what each learns, predicts and is saved as."""
