"""What crosses a topic: one Avro schema and one frozen dataclass per message, and the topic table."""
