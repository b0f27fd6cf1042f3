"""Which directions of each linear's input space are in use, and how to train outside of them.

This package knows nothing of Llama: it sees named linears, y = x W with W [d_in, d_out], stacked over layers.
"""
