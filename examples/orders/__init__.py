"""Orders on credit: one transaction over two services, each with a database of its own."""
