"""Phase diagrams: their cells, the producers of cells, and summaries of the results."""
