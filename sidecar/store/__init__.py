"""The app's SQLite file and what the sidecar keeps in it."""
