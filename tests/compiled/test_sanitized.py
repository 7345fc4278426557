"""The hashing in C reads no byte that is not there, and does nothing undefined: the compiler's sanitizers watch."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from deploy.compiled import _PACKAGES, _lacking

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/unit/protocol/test_native.py",
    "tests/unit/learners/test_native_attachments.py",
    "tests/property/test_merkle.py",
)
SANITIZERS = ("libasan.so", "libubsan.so")


def libraries() -> list[str]:
    """Where gcc keeps what must be loaded first; nothing where it has none, or is not here."""
    if _lacking() or shutil.which("gcc") is None:
        return []
    found = [subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip() for name in SANITIZERS]
    return found if all(Path(path).is_absolute() for path in found) else []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not libraries(), reason="nothing can be compiled here, or gcc has no sanitizers")
def test_hostile_bytes_under_sanitizers(tmp_path: Path) -> None:
    """Its own tests, with every argument and every outcome cut and lengthened anywhere."""
    for package in _PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    native = tmp_path / "protocol/native"
    flags = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-shared", "-fPIC"]
    include = f"-I{sysconfig.get_path('include')}"
    command = ["gcc", *flags, include, *map(str, native.glob("*.c")), "-o", str(native / "_hashes.so"), "-ldl"]
    subprocess.run(command, check=True)
    pytest_ = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", f"pythonpath={tmp_path} ."]
    pytest_.append("--capture=sys")  # what a sanitizer says goes past Python, and is lost with the process otherwise
    run = subprocess.run(
        [*pytest_, *TESTS],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(tmp_path),
            "PYTHONMALLOC": "malloc",  # so that each object has its own bounds
            "LD_PRELOAD": ":".join(libraries()),
            "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter keeps what it has to its end
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4_000:] + run.stderr[-4_000:]
    assert " passed" in run.stdout.splitlines()[-1]
    assert "skipped" not in run.stdout.splitlines()[-1]
