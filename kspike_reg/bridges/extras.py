"""Optional packages, imported in the functions that use them; the error names the extra that installs them."""

import importlib
from types import ModuleType

from kspike_reg.errors import InputError

__all__ = ["needed"]


def needed(package: str, extra: str, caller: str) -> ModuleType:
    """Import an optional package.

    Args:
        package: its name for `import`.
        extra: the extra of kspike_reg that installs it.
        caller: named in the message.

    Returns:
        The package.

    Raises:
        InputError: it is not installed, or its import fails.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"{caller}: needs the package {package!r}, which cannot be imported ({error}); install it with "
            f"pip install 'kspike_reg[{extra}]'"
        ) from error
