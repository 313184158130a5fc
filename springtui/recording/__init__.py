"""Sessions of the app as asciicast files: recorded and played."""
