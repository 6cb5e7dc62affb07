"""The only room that knows protobuf: models are opened without their weights, edited in place and saved by streaming."""
