"""One file per subcommand: options, one call into the API, one view. Nothing is computed here."""
