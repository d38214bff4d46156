"""SSE framing and one decoder per dialect: pure functions over bytes."""
