"""Engines: they run a layer over whole paths."""
