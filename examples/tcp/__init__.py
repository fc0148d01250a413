"""TCP: tokens made from each class's frozen text feature."""
