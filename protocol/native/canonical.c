/* Whether a text is canonical JSON for sure: `is_canonical`, whose twin is `protocol.canonical_json.loads`.
 *
 * 1. What is said to be canonical is what the twin takes. Everything else is left to it: what is wrong, and what is only
 *    rare (characters beyond ASCII, escapes, integers of more than DIGITS_MAX digits).
 * 2. It takes no memory and makes no value: it walks over the bytes once.
 */

#include "hashes.h"

#define DEPTH_MAX 32  /* protocol.canonical_json.DEPTH_MAX */
#define DIGITS_MAX 15 /* 10^15 - 1 is below 2^53 */

typedef const unsigned char *Place; /* in the text; NULL: not canonical, or left to the twin */

/* From behind an opening quotation mark to behind the closing one. */
static Place past_string(Place at, Place end)
{
    for (; at < end && *at >= ' ' && *at < 0x80 && *at != '\\'; at++)
        if (*at == '"')
            return at + 1;
    return NULL;
}

static Place past_integer(Place at, Place end)
{
    bool is_negative = *at == '-';
    at += is_negative;
    if (at < end && *at == '0')
        return is_negative ? NULL : at + 1; /* what follows is no digit, or fits nowhere */
    Place first = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at > first && at - first <= DIGITS_MAX ? at : NULL;
}

static Place past_word(Place at, Place end, const char *word, size_t length)
{
    return (size_t)(end - at) >= length && memcmp(at, word, length) == 0 ? at + length : NULL;
}

/* Whether a key comes after the one before it, in the order of their bytes. */
static bool is_after(Bytes key, Bytes before)
{
    size_t common = key.length < before.length ? key.length : before.length;
    int order = memcmp(key.data, before.data, common);
    return order > 0 || (order == 0 && key.length > before.length);
}

static Place past_value(Place at, Place end, int depth);

/* From behind the opening bracket. */
static Place past_list(Place at, Place end, int depth)
{
    if (at < end && *at == ']')
        return at + 1;
    while ((at = past_value(at, end, depth)) != NULL && at < end && *at == ',')
        at++;
    return at != NULL && at < end && *at == ']' ? at + 1 : NULL;
}

static Place past_object(Place at, Place end, int depth)
{
    if (at < end && *at == '}')
        return at + 1;
    for (Bytes before = {NULL, 0};; at++) {
        if (at == end || *at != '"')
            return NULL;
        Place first = at + 1;
        at = past_string(first, end);
        if (at == NULL || at == end || *at != ':')
            return NULL;
        Bytes key = {first, (size_t)(at - first - 1)};
        if (before.data != NULL && !is_after(key, before))
            return NULL;
        before = key;
        at = past_value(at + 1, end, depth);
        if (at == NULL || at == end)
            return NULL;
        if (*at != ',')
            return *at == '}' ? at + 1 : NULL;
    }
}

static Place past_value(Place at, Place end, int depth)
{
    if (at == end)
        return NULL;
    switch (*at) {
    case '"':
        return past_string(at + 1, end);
    case '{':
        return depth == 0 ? NULL : past_object(at + 1, end, depth - 1);
    case '[':
        return depth == 0 ? NULL : past_list(at + 1, end, depth - 1);
    case 't':
        return past_word(at, end, "true", 4);
    case 'f':
        return past_word(at, end, "false", 5);
    case 'n':
        return past_word(at, end, "null", 4);
    default:
        return past_integer(at, end);
    }
}

PyObject *is_canonical(PyObject *self, PyObject *text)
{
    Bytes taken;
    if (PyUnicode_Check(text) && !PyUnicode_IS_COMPACT_ASCII(text))
        Py_RETURN_FALSE; /* the twin's anyway, and its UTF-8 would be made, and kept as long as the text */
    if (!take_text(text, &taken))
        return NULL;
    Place end = taken.data + taken.length;
    return PyBool_FromLong(past_value(taken.data, end, DEPTH_MAX) == end);
}
