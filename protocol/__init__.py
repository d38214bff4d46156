"""The wire contract between the Electron host and the sidecar. Imports nothing from ``sidecar``."""
