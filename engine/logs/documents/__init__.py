"""Logs that are JSON documents, written whole each time: Hugging Face's trainer state, Sacred's runs."""
