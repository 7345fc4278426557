/* SHA-256 in steps, and what all files take from Python. See hashes.c for the rules. */

#ifndef COUNTERSIGN_HASHES_H
#define COUNTERSIGN_HASHES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define HASH 32

typedef struct {
    const unsigned char *data;
    size_t length;
} Bytes;

/* What is hashed of one version of a record. */
typedef struct {
    Bytes namespace, name, value;
    const unsigned char *ledger_id, *request_id, *previous_hash; /* HASH bytes each */
    uint64_t version;
    bool deleted;
} Version;

/* Each step is false where OpenSSL fails, which it does only without memory. */
bool begin(void);
bool add(const void *data, size_t length);
bool add_number(uint64_t number);
bool add_part(const void *data, size_t length);
bool end(unsigned char *digest);
bool hash_version(unsigned char *digest, const Version *version);

/* Each is false, with an exception set, where the object is another. */
bool has_arguments(Py_ssize_t given, Py_ssize_t wanted);
bool take_bytes(PyObject *object, Bytes *taken);
bool take_text(PyObject *object, Bytes *taken); /* bytes, or text, of which its UTF-8 is taken */
bool take_hash(PyObject *object, Bytes *taken);

PyObject *attachments_hold(PyObject *self, PyObject *const *arguments, Py_ssize_t given);
PyObject *is_canonical(PyObject *self, PyObject *text);

#endif
