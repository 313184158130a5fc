"""Phase diagrams: their cells, what makes them, what came of them."""
