"""How much a node computes: one formula for each operator, in symbols where sizes are not known yet."""
