"""Errors that a user's own input can cause; the command line prints them without a traceback."""


class UserError(ValueError):
    """Bad input from the user: the message names the place, the value found, the value expected and a remedy."""


class DoesNotFit(UserError):
    """A program that needs more memory than the devices have; the message says how much, and advises what would fit."""


def require(holds: bool, key: str, found: object, expected: str) -> None:
    """Raise UserError unless `holds`; it names the key of a config, the value found there and the one expected."""
    if not holds:
        raise UserError(f"{key}: found {found!r}, expected {expected}")
