"""What a reply does, by its words alone: its attitude to a statement, its answer to a question, its step of a booking.

For English. The judge `rules` and the tasks of the embedded corpora decide by these functions; the tasks add what the
keys of their corpora say exactly.
"""
