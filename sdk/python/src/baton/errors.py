"""The root of all exceptions that this package raises on its own account."""


class BatonError(Exception):
    """Something that Baton's SDK cannot do. The message says why, and what to do about it."""
