"""Models behind servers: requests, answers, pace, costs and keys."""
