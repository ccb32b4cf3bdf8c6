"""Trained networks in Nengo and NengoDL."""
