"""Models behind servers: asking them, and having them fine-tuned. Nothing here is imported unless a config asks."""
