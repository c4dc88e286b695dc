"""Samples that are sent to a generation, and how their answers are compared."""
