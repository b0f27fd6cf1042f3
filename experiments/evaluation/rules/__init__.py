"""Rules for English replies, by words alone: attitude to a statement, answer to a question, step of a booking.

The judge `rules` and the tasks of the embedded corpora use them; the tasks also compare with the keys of their corpora.
"""
