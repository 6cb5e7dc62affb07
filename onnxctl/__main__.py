"""`python -m onnxctl` is the `onnxctl` command."""

from onnxctl.cli import main

if __name__ == "__main__":
    main()
