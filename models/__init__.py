"""Trained networks, a folder each: kspike_reg.load takes their names."""
