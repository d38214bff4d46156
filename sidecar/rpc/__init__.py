"""JSON-RPC: codec, dispatcher, router, outbox."""
