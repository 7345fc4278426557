"""What was measured, and on what."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from deploy.compiled import is_compiled


def measured_commit() -> str:
    """The commit that is measured, where this is a checkout."""
    root = Path(__file__).resolve().parents[2]
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or "unknown"


def machine() -> dict[str, Any]:
    """Python, whether roles run machine code, cores, and how busy they are with other work."""
    return {
        "python": platform.python_version(),
        "compiled": is_compiled(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 1),
    }
