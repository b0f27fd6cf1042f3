"""Fine-tune Llama models on a narrow domain without forgetting what they knew."""
