"""Packages that only some roads need: imported when asked for, named with the extra that brings them."""

import importlib

from kspike_reg.errors import InputError

__all__ = ["needed"]


def needed(package, extra, who):
    """Import an optional package.

    Args:
        package: its name for `import`.
        extra: the extra of kspike_reg that installs it.
        who: who needs it, for the message.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"{who}: needs the package {package!r}, which cannot be imported ({error}); install it with "
            f"pip install 'kspike_reg[{extra}]'"
        ) from error
