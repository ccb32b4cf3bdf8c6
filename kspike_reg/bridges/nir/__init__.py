"""Trained networks as NIR graphs and files."""
