"""One file per format: pure functions from a report to text. Progress goes to standard error, nothing else does."""
