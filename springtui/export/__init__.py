"""A run or a diagram written as data, figures, films or a picture of the screen."""
