"""The one error that means "the caller can mend this": the command line turns it into one line and exit status 2."""

__all__ = ["InputError"]


class InputError(ValueError):
    """A file, an argument or an array from outside that does not fit.

    The message says who complains, what came, what was expected and how to mend it.
    """
