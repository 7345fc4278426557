"""The whole command line, for tests that call it in their own process."""

from deploy.application import application

app = application()
