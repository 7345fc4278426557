"""The one error of this package."""


class MalformedMessageError(ValueError):
    """Bytes that are not the one valid form of the message they claim to be."""
