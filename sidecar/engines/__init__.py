"""One normalised event stream from any provider."""
