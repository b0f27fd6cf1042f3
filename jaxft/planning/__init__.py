"""What a run will need, before anything is paid for: memory, collectives and a bound of speed."""
