"""Models behind servers: asking them, and having them fine-tuned."""
