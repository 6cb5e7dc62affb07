"""The only room that knows protobuf: models are opened without weights, edited in place, saved by streaming."""
