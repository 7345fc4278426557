"""One entry per role: `python -m deploy.roles.NAME DIRECTORY` runs a role's process until SIGTERM."""
