"""What differs between two models: nodes matched by structure and not by name, weights compared by their content."""
