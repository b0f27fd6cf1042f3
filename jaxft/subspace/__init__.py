"""The directions of each linear's input space that are in use, and training outside of them.

This package does not depend on Llama: it sees named linears, y = x W with W [d_in, d_out], stacked over layers.
"""
