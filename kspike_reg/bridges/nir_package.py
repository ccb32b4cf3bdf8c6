"""The package nir, which comes with an extra."""

from kspike_reg.errors import InputError

__all__ = ["nir_package"]


def nir_package(who):
    """Import nir, of which nothing else here may be asked before.

    Raises:
        InputError: it is not installed.
    """
    try:
        import nir
    except ImportError as error:
        raise InputError(f"{who}: needs the package nir; install it: pip install 'kspike_reg[nir]'") from error
    return nir
