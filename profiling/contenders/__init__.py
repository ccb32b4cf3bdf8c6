"""Who runs in profiling/speed.py: kspike_reg, the matrix products, and other packages' networks of the same sizes."""
