"""From plan to protobuf message to text and back; the rules of `check`. Writes no file."""
