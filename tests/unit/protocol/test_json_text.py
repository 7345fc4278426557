"""JSON at the end of memory."""

import signal
import subprocess
import sys

import pytest

from protocol.json_text import read_json, write_json

PROGRAM = """
import resource
from protocol.canonical_json import loads
from protocol.json_text import read_json, write_json

def address_space():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()

text = {text}
data = text.encode()
value = {value}
bound = address_space() + {room}
resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
try:
    {call}
except MemoryError:
    print("none left")
"""


@pytest.mark.parametrize("room", [2**16, 2**20, 5 * 2**20])
@pytest.mark.parametrize("call", ["read_json(text)", "read_json(data)", "loads(data)", "write_json(value)"])
def test_out_of_memory_is_no_other_error(call: str, room: int) -> None:
    """In a process without any left, a text of 2 MB is not said to be malformed, nor a string to be no Unicode.

    If not even orjson notices, the process ends by a signal, which is as good.
    """
    program = PROGRAM.format(call=call, room=room, text="'\"' + 'é' * 1_000_000 + '\"'", value="'é' * 1_000_000")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "none left\n" or done.returncode == -signal.SIGSEGV, done.stderr


@pytest.mark.parametrize("text", ["", "{", '"\\ud800"', "1" + "0" * 400, b"\xff", "[1,]"])
def test_what_is_no_json_is_said_to_be_none(text: str | bytes) -> None:
    """Where there is memory, the error is the text's."""
    with pytest.raises(ValueError, match="column"):
        read_json(text)


@pytest.mark.parametrize("value", [{1: 2}, {1, 2}, 1j])
def test_what_json_does_not_have_is_refused(value: object) -> None:
    """So is a value's."""
    with pytest.raises(TypeError, match=r"serializable|must be str"):
        write_json(value)
