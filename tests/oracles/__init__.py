"""What the tests compare against: plain loops written from the paper, and helpers that work on every backend."""
