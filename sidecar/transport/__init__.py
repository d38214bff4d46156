"""Bytes in and out of the process: descriptors, line framing, stdio threads, the in-memory twin."""
