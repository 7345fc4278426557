"""Table stores: the port, its adapters, and the registry that finds them."""
