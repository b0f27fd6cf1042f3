"""The one error that a user's own input can cause; the command line prints it without a traceback."""


class UserError(ValueError):
    """Bad input from the user: the message says where, what was found, what was expected and what to do."""
