"""Pure steppers: history in, next candidate or None out."""
