"""The demonstration: real input through the whole pipeline, then an operator who alters a record, and is caught."""
