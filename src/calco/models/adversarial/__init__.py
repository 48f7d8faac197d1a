"""Adversarial networks: generative adversarial networks, and Laplacian pyramids of them."""
