"""The life of one chat stream, from rows to patches."""
