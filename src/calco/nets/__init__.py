"""Blocks without losses. Each is called with a tensor and gives a tensor."""
