"""Providers and models: built in, from the database, and found on this machine."""
