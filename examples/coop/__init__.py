"""CoOp: learned context vectors in front of the class name."""
