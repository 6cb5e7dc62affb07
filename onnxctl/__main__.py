"""`python -m onnxctl` is the `onnxctl` command."""

from typing import NoReturn

from onnxctl.signals import Interrupts


def main() -> NoReturn:
    """Run the command line this process was started with, and exit."""
    interrupts = Interrupts()  # before the imports, which take most of the start

    from onnxctl import cli

    try:
        cli.main()
    finally:
        interrupts.ignore()


if __name__ == "__main__":
    main()
