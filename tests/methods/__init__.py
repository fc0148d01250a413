"""What all five methods owe the protocol, and what each one's limits are."""
