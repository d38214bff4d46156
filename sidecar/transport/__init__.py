"""Bytes in and out of the process: descriptors, line framing, stdio, the in-memory twin."""
