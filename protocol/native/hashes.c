/* The hashes of a batch, thousands at a time, and the module that `protocol.native` offers where set-up compiled it.
 *
 * 1. SHA-256 is OpenSSL's, through one context that is used again and again: most of what a small hash costs through
 *    hashlib is the making and freeing of its objects. Where the library is not found, importing this module fails.
 * 2. Every function has a twin in Python (`protocol.native` says which) that gives the same bytes. What a function cannot
 *    take, because it is malformed or only rare, it leaves to the twin: that one says what is wrong.
 * 3. No byte is read that is not there, whatever the arguments hold.
 * 4. Nothing here gives up the interpreter's lock. It guards the one context, and what lists hold.
 */

#include "hashes.h"
#include <dlfcn.h>

/* --- OpenSSL, whose headers need not be here --- */

static int (*digest_init)(void *context, const void *type, const void *parameters);
static int (*digest_update)(void *context, const void *data, size_t length);
static int (*digest_final)(void *context, unsigned char *digest, unsigned int *length);
static void (*clear_errors)(void);
static void *context, *sha256;

static bool find_openssl(void)
{
    void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return false;
    void *(*new_context)(void) = (void *(*)(void))dlsym(library, "EVP_MD_CTX_new");
    void *(*fetch)(void *, const char *, const char *) =
        (void *(*)(void *, const char *, const char *))dlsym(library, "EVP_MD_fetch");
    digest_init = (int (*)(void *, const void *, const void *))dlsym(library, "EVP_DigestInit_ex2");
    digest_update = (int (*)(void *, const void *, size_t))dlsym(library, "EVP_DigestUpdate");
    digest_final = (int (*)(void *, unsigned char *, unsigned int *))dlsym(library, "EVP_DigestFinal_ex");
    clear_errors = (void (*)(void))dlsym(library, "ERR_clear_error");
    if (new_context == NULL || fetch == NULL || digest_init == NULL || digest_update == NULL || digest_final == NULL ||
        clear_errors == NULL)
        return false;
    context = new_context();
    sha256 = fetch(NULL, "SHA256", NULL);
    return context != NULL && sha256 != NULL;
}

/* --- Hashing --- */

bool begin(void)
{
    if (digest_init(context, sha256, NULL) == 1)
        return true;
    clear_errors(); /* what is left there, the thread's next TLS connection would take for an error of its own */
    return false;
}

bool add(const void *data, size_t length) { return digest_update(context, data, length) == 1; }

bool add_number(uint64_t number)
{
    unsigned char bytes[8];
    for (int i = 7; i >= 0; i--, number >>= 8)
        bytes[i] = (unsigned char)number;
    return add(bytes, sizeof bytes);
}

bool add_part(const void *data, size_t length) { return add_number(length) && add(data, length); }

bool end(unsigned char *digest) { return digest_final(context, digest, NULL) == 1; }

/* A leaf of a Merkle tree (prefix 0), or a node (prefix 1), as in RFC 6962. */
static bool hash_prefixed(unsigned char *digest, unsigned char prefix, const void *data, size_t length)
{
    return begin() && add(&prefix, 1) && add(data, length) && end(digest);
}

static PyObject *bytes_of(const unsigned char *digest)
{
    return PyBytes_FromStringAndSize((const char *)digest, HASH);
}

/* --- Arguments --- */

bool take_bytes(PyObject *object, Bytes *taken)
{
    char *data;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(object, &data, &length) < 0)
        return false;
    *taken = (Bytes){(const unsigned char *)data, (size_t)length};
    return true;
}

bool take_text(PyObject *object, Bytes *taken)
{
    if (!PyUnicode_Check(object))
        return take_bytes(object, taken);
    Py_ssize_t length;
    const char *data = PyUnicode_AsUTF8AndSize(object, &length);
    *taken = (Bytes){(const unsigned char *)data, (size_t)length};
    return data != NULL;
}

bool take_hash(PyObject *object, Bytes *taken)
{
    if (!take_bytes(object, taken))
        return false;
    if (taken->length != HASH)
        PyErr_SetString(PyExc_ValueError, "a hash of another length than 32 bytes");
    return taken->length == HASH;
}

bool has_arguments(Py_ssize_t given, Py_ssize_t wanted)
{
    if (given != wanted)
        PyErr_Format(PyExc_TypeError, "%zd arguments instead of %zd", given, wanted);
    return given == wanted;
}

/* --- tagged(head, parts) --- */

static PyObject *tagged(PyObject *self, PyObject *const *arguments, Py_ssize_t given)
{
    Bytes head;
    if (!has_arguments(given, 2) || !take_bytes(arguments[0], &head))
        return NULL;
    PyObject *parts = arguments[1];
    if (!PyTuple_Check(parts))
        return PyErr_Format(PyExc_TypeError, "parts that are no tuple");
    Py_ssize_t count = PyTuple_GET_SIZE(parts);
    unsigned char framed[4] = {(unsigned char)(count >> 24), (unsigned char)(count >> 16), (unsigned char)(count >> 8),
                               (unsigned char)count};
    bool done = begin() && add(head.data, head.length) && add(framed, sizeof framed);
    for (Py_ssize_t i = 0; done && i < count; i++) {
        Bytes part;
        if (!take_bytes(PyTuple_GET_ITEM(parts, i), &part))
            return NULL;
        done = add_part(part.data, part.length);
    }
    unsigned char digest[HASH];
    return done && end(digest) ? bytes_of(digest) : PyErr_NoMemory();
}

/* --- merkle_root(leaves) --- */

/* Hash the leaves into their level; false with an exception set. */
static bool hash_leaves(PyObject *const *leaves, Py_ssize_t count, unsigned char *level)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        Bytes leaf;
        if (!take_bytes(leaves[i], &leaf))
            return false;
        if (!hash_prefixed(level + i * HASH, 0, leaf.data, leaf.length)) {
            PyErr_NoMemory();
            return false;
        }
    }
    return true;
}

static PyObject *merkle_root(PyObject *self, PyObject *leaves)
{
    if (!PyList_Check(leaves) && !PyTuple_Check(leaves))
        return PyErr_Format(PyExc_TypeError, "leaves that are neither a list nor a tuple");
    Py_ssize_t count = PySequence_Fast_GET_SIZE(leaves);
    unsigned char *level = PyMem_Calloc((size_t)count + 1, HASH);
    if (level == NULL)
        return PyErr_NoMemory();
    bool done = hash_leaves(PySequence_Fast_ITEMS(leaves), count, level);
    if (done && count == 0)
        done = begin() && end(level);
    while (done && count > 1) {
        Py_ssize_t pairs = count / 2;
        for (Py_ssize_t i = 0; done && i < pairs; i++)
            done = hash_prefixed(level + i * HASH, 1, level + 2 * i * HASH, 2 * HASH);
        if (count % 2) /* a last one without a neighbour goes up as it is */
            memcpy(level + pairs * HASH, level + (count - 1) * HASH, HASH);
        count -= pairs;
    }
    PyObject *root = done ? bytes_of(level) : PyErr_Occurred() ? NULL : PyErr_NoMemory();
    PyMem_Free(level);
    return root;
}

/* --- path_root(leaf, index, count, path): None if the path is not of the one form --- */

static PyObject *path_root(PyObject *self, PyObject *const *arguments, Py_ssize_t given)
{
    Bytes leaf;
    if (!has_arguments(given, 4) || !take_bytes(arguments[0], &leaf))
        return NULL;
    long long place = PyLong_AsLongLong(arguments[1]), count = PyLong_AsLongLong(arguments[2]);
    if (PyErr_Occurred())
        return NULL;
    PyObject *path = arguments[3];
    if (place < 0 || place >= count || !PyTuple_Check(path))
        Py_RETURN_NONE;
    unsigned char pair[2 * HASH], node[HASH];
    Py_ssize_t used = 0, length = PyTuple_GET_SIZE(path);
    bool done = hash_prefixed(node, 0, leaf.data, leaf.length);
    for (long long last = count - 1; done && last > 0; place >>= 1, last >>= 1) {
        if (place % 2 == 0 && place == last) /* no sibling on this level */
            continue;
        PyObject *sibling = used < length ? PyTuple_GET_ITEM(path, used++) : NULL;
        if (sibling == NULL || !PyBytes_Check(sibling) || PyBytes_GET_SIZE(sibling) != HASH)
            Py_RETURN_NONE;
        bool is_right = place % 2;
        memcpy(pair + (is_right ? HASH : 0), node, HASH);
        memcpy(pair + (is_right ? 0 : HASH), PyBytes_AS_STRING(sibling), HASH);
        done = hash_prefixed(node, 1, pair, sizeof pair);
    }
    if (done && used < length)
        Py_RETURN_NONE;
    return done ? bytes_of(node) : PyErr_NoMemory();
}

/* --- record_hash(ledger_id, namespace, name, version, deleted, value, request_id, previous_hash) --- */

bool hash_version(unsigned char *digest, const Version *version)
{
    static const unsigned char head[] = "CSv1\6record\0\0\0\10"; /* of eight parts, octal */
    const unsigned char deleted = version->deleted;
    return begin() && add(head, sizeof head - 1) && add_part(version->ledger_id, HASH) &&
           add_part(version->namespace.data, version->namespace.length) &&
           add_part(version->name.data, version->name.length) && add_number(8) && add_number(version->version) &&
           add_part(&deleted, 1) && add_part(version->value.data, version->value.length) &&
           add_part(version->request_id, HASH) && add_part(version->previous_hash, HASH) && end(digest);
}

static PyObject *record_hash(PyObject *self, PyObject *const *arguments, Py_ssize_t given)
{
    Version version;
    Bytes ledger_id, request_id, previous_hash;
    if (!has_arguments(given, 8) || !take_hash(arguments[0], &ledger_id) ||
        !take_text(arguments[1], &version.namespace) || !take_text(arguments[2], &version.name) ||
        !take_bytes(arguments[5], &version.value) || !take_hash(arguments[6], &request_id) ||
        !take_hash(arguments[7], &previous_hash))
        return NULL;
    if (!PyBool_Check(arguments[4]))
        return PyErr_Format(PyExc_TypeError, "deleted that is no bool");
    version.version = PyLong_AsUnsignedLongLong(arguments[3]);
    if (PyErr_Occurred())
        return NULL;
    version.deleted = arguments[4] == Py_True;
    version.ledger_id = ledger_id.data;
    version.request_id = request_id.data;
    version.previous_hash = previous_hash.data;
    unsigned char digest[HASH];
    return hash_version(digest, &version) ? bytes_of(digest) : PyErr_NoMemory();
}

static PyMethodDef functions[] = {
    {"tagged", (PyCFunction)(void (*)(void))tagged, METH_FASTCALL, NULL},
    {"merkle_root", merkle_root, METH_O, NULL},
    {"path_root", (PyCFunction)(void (*)(void))path_root, METH_FASTCALL, NULL},
    {"record_hash", (PyCFunction)(void (*)(void))record_hash, METH_FASTCALL, NULL},
    {"is_canonical", is_canonical, METH_O, NULL},
    {"attachments_hold", (PyCFunction)(void (*)(void))attachments_hold, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "protocol.native._hashes", NULL, -1, functions,
                                        NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__hashes(void)
{
    if (!find_openssl())
        return PyErr_Format(PyExc_ImportError, "OpenSSL 3 is not here");
    return PyModule_Create(&definition);
}
