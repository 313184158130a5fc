"""One network of the paper, its optimisers and its training in PyTorch."""
