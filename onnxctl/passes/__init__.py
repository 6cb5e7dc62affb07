"""One file per transformation; `PIPELINE` in `manager` is their order."""
