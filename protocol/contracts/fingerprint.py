"""Known answers: what the engine must say to some short contracts.

So two parties whose engines differ notice before they disagree.

Each expression is the body of a contract of its own; its answer is its value as canonical JSON, or
"error" or "refused by the scan", and how often the engine asked whether to go on. What the epoch names is
the hash of all answers.
"""

from protocol.canonical_json import NotCanonicalError, dumps
from protocol.contracts.engine import ContractError, Engine, value_of
from protocol.contracts.source_scan import SourceRefusedError, scan_source
from protocol.hashing import Tag, tagged
from protocol.limits import Limits

EXPRESSIONS = (
    # Integers.
    "[7 // 2, -7 // 2, 7 // -2, 7 % 3, -7 % 3, 7 % -3]",
    "[1 << 40, -1 >> 3, ~5, 5 ^ 3, 5 & 6, 5 | 8]",
    "str(12345678901234567 * 98765432109876543)",
    "str((1 << 200) - 1)",
    "str(-(1 << 200) // 7)",
    "str((1 << 200) % 1000003)",
    "(1 << 53) - 1",
    "1 << 53",
    "1 << -1",
    "1 << 100000000",
    "5 // 0",
    "[int('42'), int('-0x1F', 16), int('0b11', 0), int('z', 36)]",
    "int('1e5')",
    "int('٣')",
    "int('9' * 5000) % 1000007",
    "len(str(int('9' * 5000)))",
    "[abs(-5), max(3, 9, 2), min([4, 1]), int(True), bool(''), bool([0])]",
    "[1 == True, 0 == False, [] == (), None == False, 1 < 2]",
    "1 < '2'",
    # Floats do not come about.
    "float('1')",
    "1 / 2",
    "1.5",
    "'%d %s %r %x %o' % (5, 'a', 'b', 255, 8)",
    "'%f' % 1",
    "'{} {a} {0}'.format(1, a = 'x')",
    # Strings and Unicode.
    "[len('aé😀'), 'aé😀'[1], 'aé😀'[-1], 'aé😀'[::-1]]",
    "['straße'.upper(), 'İI'.lower(), 'ǆ ﬁ'.title(), 'ÀÉ'.capitalize()]",
    "''.join([chr(i).upper() + chr(i).lower() for i in range(0xA0, 0x600)])",
    "''.join([chr(i).upper() + chr(i).lower() for i in range(0x1E00, 0x2000)])",
    "[i for i in range(0, 0x3100) if chr(i).isspace()]",
    "[i for i in range(0, 0x800) if chr(i).isdigit()]",
    "len([i for i in range(0, 0x3100) if chr(i).isalpha()])",
    "['\\u3000 a\\u00a0'.strip(), 'a,b,,c'.split(','), ' a  b '.split(), 'aXbX'.rsplit('X', 1)]",
    "['abc'.find('c'), 'abcabc'.rfind('b'), 'aaa'.count('a'), 'abc'.replace('b', 'é'), 'a\\nb'.splitlines()]",
    "['abc'.startswith(('x', 'a')), 'abc'.partition('b'), 'x'.join(['a', 'b']), 'ab' * 3, 'ab' * -1]",
    "[c for c in 'aé😀'.elems()]",
    "[c for c in 'aé😀'.codepoints()]",
    "[ord('😀'), chr(0x1F600), repr('a\\n\\'\"é\\u200b\\U0001F600'), str(['a', {'b': None}])]",
    "chr(0xD800)",
    "chr(0x110000)",
    "sorted(['b', 'A', 'é', 'z', '\\uffff', '😀', ''])",
    "['😀' > '\\uffff', 'a' < 'B', 'é' > 'z']",
    # hash(), containers and their order.
    "[hash(''), hash('abc'), hash('é😀'), hash('a' * 100)]",
    "hash(1)",
    "[k for k in {'b': 1, 'a': 2, 'c': 3}]",
    "dict([('x', 1), ('y', 2)], z = 3)",
    "{'a': 1, 'a': 2}",
    "{1: 2}",
    "{(1, 2): 3}.keys()",
    "{[]: 1}",
    "sorted([3, 1, 2], reverse = True)",
    "sorted([[2, 'b'], [1, 'z'], [2, 'a']])",
    "sorted(['bb', 'a', 'cc'], key = lambda s: len(s))",
    "sorted([1, 'a'])",
    "[list(enumerate(['a', 'b'], 5)), list(zip([1, 2], 'ab'.elems()))]",
    "[reversed([1, 2]), any([0, 1]), all([])]",
    "[[1, 2, 3, 4][1:-1], list(range(10, 0, -3)), (1, 2) + (3,), [1] * 3, 3 in [1, 3], 'b' in {'b': 1}]",
    "[1, 2][5]",
    "{'a': 1}['b']",
    "[type(1), type(''), type([]), type({}), type(()), type(None), type(True), type(range(2)), type(len)]",
    "[str(len), repr(execute), str(range(3)), dir([])]",
    "getattr('a', 'nothing')",
    "range(3)",
    "len",
    "()",
    # What crosses the border as text, and what does not.
    "{'b': (1 << 53) - 1, 'a': 'é\\u2028\\n', 'c': None, 'd': True}",
    "[{'b': 1, 'a': [1, 2]}, ['x' * 3] * 3, {}, []]",
    "[(1, 'a'), {'b': ((), [2])}]",
    "[{'a': [(1, 2)]}] * 40",
    "{'a': {1: 2}}",
    "{'a': 1 << 70}",
    "{'a': len}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    # Steps and recursion.
    "len([i for i in range(123456)])",
    "[f(10) for f in [lambda n: n * 2]][0]",
    "recurse(40)",
    "recurse(47)",
    "recurse(48)",
    "recurse(49)",
    "recurse(50)",
    "recurse(51)",
    "recurse(52)",
    "recurse(60)",
    "len([i for i in range(990)])",
    "len([i for i in range(993)])",
    "len([i for i in range(996)])",
    "len([i for i in range(999)])",
    "{str(i): i for i in range(600)}",
)
"""Bodies of the known-answer contracts."""

_SOURCE = """
def recurse(n):
    return 0 if n == 0 else 1 + recurse(n - 1)

def execute(argument):
    return {}
"""


def engine_answers() -> bytes:
    """The hash of the engine's answers, as an epoch names it."""
    return tagged(Tag.ENGINE, *[_answer(expression) for expression in EXPRESSIONS])


def _answer(expression: str) -> bytes:
    asked = 0

    def is_cancelled() -> bool:
        nonlocal asked
        asked += 1
        return False

    source = _SOURCE.format(expression)
    engine = Engine({}, is_cancelled)
    try:
        scan_source(source, Limits())
        answer = dumps(value_of(engine.compile(source).run(engine.options, "null")))
    except SourceRefusedError:
        answer = b"refused by the scan"
    except (ContractError, NotCanonicalError, ValueError):
        answer = b"error"
    return b"%d %s" % (asked, answer)
