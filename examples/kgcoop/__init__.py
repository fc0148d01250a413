"""KgCoOp: CoOp held near a handcrafted sentence of each class."""
