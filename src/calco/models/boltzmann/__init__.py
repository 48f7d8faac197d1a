"""Boltzmann machines: restricted, deep, and deep belief networks made of restricted ones."""
