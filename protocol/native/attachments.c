/* Whether the outputs and values of a batch are those that its outcomes pin: `attachments_hold`, the twin of
 * `learners.updates.check_attachments`.
 *
 * 1. It walks over the outcomes' bytes (Avro's binary encoding of schemas/outcome.avsc) and takes nothing apart.
 * 2. "They hold" is what the twin would say, too. What is wrong, and what is only rare (scans, written names beyond
 *    ASCII, numbers beyond 63 bits, more reads than PINS_MAX), does not hold here, and the twin judges.
 */

#include "hashes.h"

#define PINS_MAX 64 /* records that an outcome reads: each of its writes is looked for among them */

/* A walk over Avro's binary encoding. Whatever is not there makes it fail, and it stays failed. */
typedef struct {
    const unsigned char *at, *end;
    bool failed;
} Walk;

static const unsigned char *walk_bytes(Walk *walk, uint64_t length)
{
    if (walk->failed || length > (uint64_t)(walk->end - walk->at)) {
        walk->failed = true;
        return NULL;
    }
    walk->at += length;
    return walk->at - length;
}

/* A long of up to 63 bits, as it stands there: twice the number, or one less than twice a negative one's. */
static uint64_t walk_zigzag(Walk *walk)
{
    uint64_t zigzag = 0;
    for (int shift = 0; shift < 63; shift += 7) {
        const unsigned char *byte = walk_bytes(walk, 1);
        if (byte == NULL)
            return 0;
        zigzag |= (uint64_t)(*byte & 0x7F) << shift;
        if (*byte < 0x80)
            return zigzag;
    }
    walk->failed = true;
    return 0;
}

static uint64_t walk_number(Walk *walk)
{
    uint64_t zigzag = walk_zigzag(walk);
    if (zigzag & 1)
        walk->failed = true; /* a negative one */
    return zigzag >> 1;
}

static Bytes walk_text(Walk *walk)
{
    uint64_t length = walk_number(walk);
    const unsigned char *data = walk_bytes(walk, length);
    return (Bytes){data, data == NULL ? 0 : (size_t)length};
}

static void walk_array_end(Walk *walk, uint64_t count)
{
    const unsigned char *zero = count ? walk_bytes(walk, 1) : NULL;
    if (zero != NULL && *zero != 0)
        walk->failed = true; /* a further block */
}

/* A record that an outcome reads: namespace and key as encoded, and its hash. */
typedef struct {
    Bytes place;
    const unsigned char *hash;
} Pin;

static uint64_t walk_reads(Walk *walk, Pin *pins)
{
    uint64_t count = walk_number(walk);
    if (count > PINS_MAX)
        walk->failed = true;
    for (uint64_t i = 0; !walk->failed && i < count; i++) {
        const unsigned char *start = walk->at;
        walk_text(walk); /* namespace */
        walk_text(walk); /* key */
        pins[i].place = (Bytes){start, (size_t)(walk->at - start)};
        walk_zigzag(walk); /* version */
        walk_zigzag(walk); /* writer_sequence */
        walk_zigzag(walk); /* writer_index */
        pins[i].hash = walk_bytes(walk, HASH);
    }
    walk_array_end(walk, count);
    return walk->failed ? 0 : count;
}

static const unsigned char *pinned_hash(const Pin *pins, uint64_t count, Bytes place)
{
    while (count-- > 0)
        if (pins[count].place.length == place.length && memcmp(pins[count].place.data, place.data, place.length) == 0)
            return pins[count].hash;
    return NULL;
}

static bool is_ascii(Bytes text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] >= 0x80)
            return false;
    return true;
}

static bool output_holds(const unsigned char *pinned, PyObject *output)
{
    static const unsigned char head[] = "CSv1\6output\0\0\0\1";
    unsigned char digest[HASH];
    Bytes taken;
    return take_bytes(output, &taken) && begin() && add(head, sizeof head - 1) &&
           add_part(taken.data, taken.length) && end(digest) && memcmp(digest, pinned, HASH) == 0;
}

/* Whether the next write of an outcome pins a value. */
static bool write_holds(Walk *walk, const Pin *pins, uint64_t count, Version *version, PyObject *value)
{
    const unsigned char *start = walk->at;
    version->namespace = walk_text(walk);
    version->name = walk_text(walk);
    const Bytes place = {start, (size_t)(walk->at - start)};
    version->version = walk_number(walk);
    const unsigned char *deleted = walk_bytes(walk, 1);
    const unsigned char *pinned = walk_bytes(walk, HASH);
    if (walk->failed || !is_ascii(version->namespace) || !is_ascii(version->name) ||
        !take_bytes(value, &version->value))
        return false;
    version->deleted = *deleted == 1;
    version->previous_hash = pinned_hash(pins, count, place);
    unsigned char digest[HASH];
    return version->previous_hash != NULL && version->deleted == (version->value.length == 0) &&
           hash_version(digest, version) && memcmp(digest, pinned, HASH) == 0;
}

/* Whether an outcome without scans pins this output, and the values from `*value` on; then `*value` is behind them. */
static bool outcome_holds(Bytes outcome, Version *version, PyObject *output, PyObject *values, Py_ssize_t *value)
{
    Pin pins[PINS_MAX];
    Walk walk = {outcome.data, outcome.data + outcome.length, false};
    walk_zigzag(&walk); /* index */
    version->request_id = walk_bytes(&walk, HASH);
    walk_text(&walk);   /* entity */
    walk_zigzag(&walk); /* key_version */
    walk_text(&walk);   /* contract */
    walk_zigzag(&walk); /* contract_version */
    const unsigned char *status = walk_bytes(&walk, 1); /* the twin takes no longer form of its number */
    walk_text(&walk);                                   /* code */
    walk_text(&walk);                                   /* fail_text */
    const unsigned char *output_hash = walk_bytes(&walk, HASH);
    uint64_t count = walk_reads(&walk, pins);
    uint64_t scans = walk_number(&walk);
    uint64_t writes = walk_number(&walk);
    if (walk.failed || (*status != 0 && *status != 2) || scans != 0 || !output_holds(output_hash, output))
        return false;
    for (uint64_t i = 0; i < writes; i++, (*value)++)
        if (*value == PyTuple_GET_SIZE(values) ||
            !write_holds(&walk, pins, count, version, PyTuple_GET_ITEM(values, *value)))
            return false;
    walk_array_end(&walk, writes);
    return !walk.failed && walk.at == walk.end;
}

PyObject *attachments_hold(PyObject *self, PyObject *const *arguments, Py_ssize_t given)
{
    Bytes ledger_id;
    if (!has_arguments(given, 4) || !take_hash(arguments[0], &ledger_id))
        return NULL;
    PyObject *outcomes = arguments[1], *outputs = arguments[2], *values = arguments[3];
    if (!PyTuple_Check(outcomes) || !PyTuple_Check(outputs) || !PyTuple_Check(values))
        return PyErr_Format(PyExc_TypeError, "outcomes, outputs or values that are no tuple");
    Version version = {.ledger_id = ledger_id.data};
    Py_ssize_t count = PyTuple_GET_SIZE(outcomes), value = 0;
    bool hold = count == PyTuple_GET_SIZE(outputs);
    for (Py_ssize_t i = 0; hold && i < count; i++) {
        Bytes outcome;
        if (!take_bytes(PyTuple_GET_ITEM(outcomes, i), &outcome))
            return NULL;
        hold = outcome_holds(outcome, &version, PyTuple_GET_ITEM(outputs, i), values, &value);
        if (PyErr_Occurred())
            return NULL;
    }
    return PyBool_FromLong(hold && value == PyTuple_GET_SIZE(values));
}

