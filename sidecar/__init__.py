"""The Scalix sidecar: language models for the desktop app, spoken to over stdio."""

__version__ = "0.1.0"
