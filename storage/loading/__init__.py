"""Schemas and data in files: read, compared with what the stores hold, written, and the other way round."""
