"""What a person chose: config.toml, themes, keys; and what the app remembers."""
