"""Models that learn from labels: a head on an encoder that may have learned without any."""
