"""The code as its definition says it, slow: a twin for the tests, and for whoever writes it in another language.

The field is GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1. The points are x_0 = 0 and x_i = 2^(i-1). For each place in the
slices, slice i holds P(x_i), where P is the polynomial of degree below k through (x_j, part_j) for all j < k.
"""

from functools import reduce

POLYNOMIAL = 0x11D


def multiply(left: int, right: int) -> int:
    product = 0
    while right:
        if right & 1:
            product ^= left
        left = left << 1 ^ (POLYNOMIAL if left & 0x80 else 0)
        right >>= 1
    return product


def inverse(value: int) -> int:
    return reduce(multiply, [value] * 254)


def point(index: int) -> int:
    return reduce(multiply, [2] * (index - 1), 1) if index else 0


def weight(k: int, index: int, part: int) -> int:
    """What `part` counts for in slice `index`: the Lagrange basis polynomial of `part` at the slice's point."""
    value = 1
    for other in range(k):
        if other != part:
            distance = inverse(point(part) ^ point(other))
            value = multiply(value, multiply(point(index) ^ point(other), distance))
    return value


def encode(k: int, n: int, block: bytes) -> list[bytes]:
    size = -(-len(block) // k)
    padded = block.ljust(k * size, b"\0")
    parts = [padded[size * part : size * (part + 1)] for part in range(k)]
    slices = []
    for index in range(n):
        weights = [weight(k, index, part) for part in range(k)]
        column = (reduce(int.__xor__, map(multiply, weights, place)) for place in zip(*parts, strict=True))
        slices.append(bytes(column))
    return slices
