"""Records folded into plain objects, and the words and curves that are made of them."""
