"""Class names from a language model behind an OpenAI-compatible server."""
