"""References for the tests: plain loops written from the paper, and helpers that work on every backend."""
