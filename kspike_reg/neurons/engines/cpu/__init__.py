"""Whole paths of neurons in compiled loops."""
