"""Implementations timed by profiling/speed.py: kspike_reg, the matrix products alone, and networks of other packages.

All have the same sizes.
"""
