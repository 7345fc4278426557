"""The compiler takes the sources as they are."""

from deploy.compiled import failure


def test_the_compiler_took_these_sources() -> None:
    """Set-up goes on without it, roles run plain Python, and the tests of the copy are skipped: nobody would notice."""
    log = failure()
    assert log is None, log.read_text()[-4_000:]
