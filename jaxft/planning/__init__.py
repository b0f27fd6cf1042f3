"""Forecast of a run before any device is paid for: memory, collectives and an upper bound of speed."""
