"""How a party keeps its state: effects, ports, adapters, and the signing guard."""
