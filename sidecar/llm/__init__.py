"""``llm:*``: one model call in the AI SDK's own terms, for every other place where the app calls a model."""
