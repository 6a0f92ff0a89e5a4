"""Drives a specialist through the protocol."""
