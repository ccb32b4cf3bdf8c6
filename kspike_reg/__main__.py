"""`python -m kspike_reg` is the command `kspike-reg`."""

from kspike_reg.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
