/* larder.h: the C client of Larder, a daemon that keeps the attention state (KV cache) of long-context models.
 *
 * A single header with its implementation behind a switch, as engines vendor such things: copy this file, include it
 * where you need it, and in exactly one C or C++ file write
 *
 *     #define LARDER_IMPLEMENTATION
 *     #include "larder.h"        (before any system header, or compile with -D_GNU_SOURCE)
 *
 * So there is one copy of the code, with ordinary symbols, and no build system to join. C11 or C++17; Linux and its
 * libc, nothing else.
 *
 * Threads.   A connection serves one thread at a time; threads that work in parallel have one each. There is no global
 *            state. After fork() the child connects anew: its parent's connections fail there.
 * Errors.    Every call returns a larder_status. larder_message() says what happened, to what, and what to do. Nothing
 *            aborts, prints or raises a signal.
 * Waiting.   A call waits at most timeout_ms for its request to be taken, and again for each answer. A connection that
 *            timed out, was lost, or brought bytes that the protocol does not allow is closed and stays unusable:
 *            larder_close() it and connect anew. What was put stays in the store.
 * Ownership. Arguments stay the caller's and are not kept. An answer with lists is one block that is the caller's:
 *            give it back with larder_free(). Texts in results of batches and hints, and larder_message(), belong to
 *            the connection and are valid until its next call.
 * Units.     Offsets and lengths of sessions are tokens. Sizes are bytes. Moments are seconds since 1970.
 * Texts.     UTF-8, zero-terminated. Names have 1 to 255 bytes, no control characters, best in form NFC.
 *
 * Docs/PROTOCOL.md has the rules in full: what may be refused, and why.
 */
#ifndef LARDER_H
#define LARDER_H

#if defined(LARDER_IMPLEMENTATION) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

/* What this client takes from a daemon at most; what a daemon takes is in larder_limits_of(). */
#define LARDER_DEFAULT_TIMEOUT_MS 30000u     /* milliseconds of a wait, where 0 is given */
#define LARDER_LONGEST_TIMEOUT_MS 86400000u  /* milliseconds of the longest wait */
#define LARDER_FRAME_BYTES (64u << 20)       /* bytes of a frame after its header */
#define LARDER_HANDSHAKE_BYTES 4096u         /* the same, before the handshake */
#define LARDER_BATCH_ITEMS 4096u             /* hints and keys of one call, chunks of one call with progress */
#define LARDER_PAGE_ENTRIES 1000u            /* entries in a page of a listing */
#define LARDER_RESUME_CHUNKS 16384u          /* chunks that a resume names */
#define LARDER_COMPONENTS 64u                /* components of a model */
#define LARDER_GROUP_SIZE 1024u              /* workers in a parallel group */
#define LARDER_TRACKS (64u * 1024u)          /* components of all ranks of a session */
#define LARDER_SNAPSHOTS 4096u               /* offsets of a plan */
#define LARDER_ARENAS 16u                    /* arenas of a connection, one for calls with memory that is in none */
#define LARDER_SALT_BYTES 32u                /* bytes of a namespace's salt */
#define LARDER_MESSAGE_BYTES 1024u           /* bytes of larder_message(), with its end */
#define LARDER_KEPT_BYTES (1u << 20)         /* bytes of texts in the results of one call; further ones are empty */
#define LARDER_WHOLE UINT64_MAX              /* as an offset: no bound; the session's end */

/* ---- Values ------------------------------------------------------------------------------------------------------ */

/* Why a call or an item failed. 1 to 28 are the daemon's, with the remedies of Docs/PROTOCOL.md; a few of them the
 * client gives itself, where it can tell. From 256 on they are the client's alone. */
typedef enum larder_status {
  LARDER_OK = 0,
  LARDER_MALFORMED = 1,
  LARDER_FRAME_TOO_LONG = 2,
  LARDER_UNKNOWN_REQUEST = 3,
  LARDER_HANDSHAKE = 4,
  LARDER_PROTOCOL_VERSION = 5,
  LARDER_INVALID_ARGUMENT = 6, /* also the client's: an argument that it can see to be wrong; nothing was sent */
  LARDER_INVALID_MODEL = 7,
  LARDER_UNKNOWN_MODEL = 8,
  LARDER_MODEL_MISMATCH = 9,
  LARDER_FORBIDDEN = 10,
  LARDER_UNKNOWN_SESSION = 11,
  LARDER_UNKNOWN_COMPONENT = 12,
  LARDER_WRONG_LENGTH = 13, /* also the client's: a chunk larger than the memory given for it */
  LARDER_OVERLAP = 14,
  LARDER_UNALIGNED = 15,
  LARDER_CONFLICT = 16,
  LARDER_MISS = 17,         /* not stored: compute the state. No failure */
  LARDER_DAMAGED = 18,      /* stored, but its checks fail: compute the state */
  LARDER_FULL = 19,
  LARDER_BUSY = 20,
  LARDER_TOO_LARGE = 21,    /* also the client's: a request or chunk that no frame carries */
  LARDER_SHUTTING_DOWN = 22,
  LARDER_STORAGE = 23,
  LARDER_INTERNAL = 24,     /* a fault of the daemon, and every code that this client does not know */
  LARDER_TOO_MANY_CONNECTIONS = 25,
  LARDER_STORE_UNUSABLE = 26,
  LARDER_EXISTS = 27,
  LARDER_DECLINED = 28,
  LARDER_CONNECTION_FAILED = 256,  /* no daemon could be reached there */
  LARDER_CONNECTION_LOST = 257,    /* the daemon is gone, or was before: connect anew */
  LARDER_TIMED_OUT = 258,          /* the daemon took too long; the connection is closed */
  LARDER_PROTOCOL_VIOLATION = 259, /* the daemon's bytes make no sense; the connection is closed */
  LARDER_OUT_OF_MEMORY = 260,
  LARDER_NO_ARENAS = 261,          /* this daemon shares no memory; page with memory of your own */
  LARDER_SYSTEM = 262              /* the operating system refused a memfd or a mapping */
} larder_status;

/* What a component's state is. */
typedef enum larder_component_kind {
  LARDER_ATTENTION = 1, /* bytes per token, needed whole from token 0 */
  LARDER_SLIDING = 2,   /* bytes per token; only the last `window` tokens are needed */
  LARDER_RECURRENT = 3  /* a state of fixed size, valid at exactly one offset */
} larder_component_kind;

/* What a component's elements are, little-endian. */
typedef enum larder_element_type {
  LARDER_BF16 = 1,
  LARDER_F16 = 2,
  LARDER_F32 = 3,
  LARDER_F8E4M3 = 4,
  LARDER_F8E5M2 = 5,
  LARDER_I8 = 6,
  LARDER_BYTES = 7 /* no declared structure */
} larder_element_type;

/* How chunks are encoded; all are exact. LARDER_AUTO is for requests only. */
typedef enum larder_encoding { LARDER_AUTO = 0, LARDER_RAW = 1, LARDER_LZ4 = 2, LARDER_CASCADE = 3 } larder_encoding;

/* When a page-out is answered. */
typedef enum larder_acknowledgement {
  LARDER_ACCEPTED = 0,  /* the daemon has its own copy and has queued it; stored bytes are then not known */
  LARDER_COMMITTED = 1, /* readers see it, and it survives the daemon's death */
  LARDER_DURABLE = 2    /* it survives power loss */
} larder_acknowledgement;

/* Whether chunks of a namespace with one prefix key are stored once. */
typedef enum larder_sharing { LARDER_SHARED = 0, LARDER_SHARING_OFF = 1 } larder_sharing;

/* What a namespace takes in. */
typedef enum larder_admission { LARDER_EVERYTHING = 0, LARDER_SECOND_TOUCH = 1 } larder_admission;

/* What a hint asks for. */
typedef enum larder_hint_kind {
  LARDER_RETAIN = 1,
  LARDER_PIN = 2,
  LARDER_PREFETCH = 3,
  LARDER_DEMOTE = 4,
  LARDER_SHARE = 5
} larder_hint_kind;

/* What a hint is about. */
typedef enum larder_hint_target {
  LARDER_TARGET_TOKENS = 0, /* the tokens from..<to of a session: `session`, `from`, `to` */
  LARDER_TARGET_KEYS = 1,   /* what prefix keys name: `namespace_name`, `model_id`, `component`, `keys` */
  LARDER_TARGET_TRACK = 2   /* the chunks of one component from `from` on, and a key for each; for LARDER_SHARE only */
} larder_hint_target;

/* What was made of a hint. */
typedef enum larder_outcome {
  LARDER_HINT_ACCEPTED = 0,
  LARDER_HINT_CLIPPED = 1,
  LARDER_HINT_DEFERRED = 2,
  LARDER_HINT_REJECTED = 3,
  LARDER_HINT_MISSING = 4
} larder_outcome;

/* What kept a hint from being done as asked. */
typedef enum larder_bound {
  LARDER_BOUND_NONE = 0,
  LARDER_BOUND_LIMIT = 1,
  LARDER_BOUND_BYTES = 2,
  LARDER_BOUND_COUNT = 3,
  LARDER_BOUND_STORED = 4,
  LARDER_BOUND_SHARED = 5,
  LARDER_BOUND_QUEUE = 6,
  LARDER_BOUND_POLICY = 7,
  LARDER_BOUND_CONFLICT = 8,
  LARDER_BOUND_ARGUMENT = 9
} larder_bound;

/* Why a component cannot be restored further. */
typedef enum larder_cause {
  LARDER_CAUSE_NONE = 0,
  LARDER_NO_STATE = 1,
  LARDER_NEVER_STORED = 2,
  LARDER_EVICTED = 3,
  LARDER_RECORD_DAMAGED = 4
} larder_cause;

/* By which rule something was evicted. */
typedef enum larder_rule {
  LARDER_RULE_NONE = 0,
  LARDER_RULE_COLD = 1,
  LARDER_RULE_EXPIRED = 2,
  LARDER_RULE_USELESS = 3,
  LARDER_RULE_REQUESTED = 4,
  LARDER_RULE_QUOTA = 5
} larder_rule;

/* Where a prefill rate comes from. */
typedef enum larder_rate_origin {
  LARDER_RATE_NONE = 0,
  LARDER_RATE_DECLARED = 1,
  LARDER_RATE_LEARNED = 2
} larder_rate_origin;

/* The name of a status, such as "modelMismatch" or "timedOut"; never NULL. */
const char *larder_status_name(larder_status status);

/* ---- Connection -------------------------------------------------------------------------------------------------- */

/* A connection to a daemon. */
typedef struct larder_client larder_client;

/* What the handshake agreed on. */
typedef struct larder_limits {
  uint16_t version;            /* of the protocol */
  uint64_t features;           /* bit 0: arenas */
  uint32_t frame_bytes;        /* most bytes of a frame after its header */
  uint32_t batch_items;        /* most items of a request; larder_put_from and larder_get_into cut to it */
  uint32_t requests_in_flight; /* most puts that wait for their answer */
  char store_id[33];           /* 32 hexadecimal digits: another store knows other model and session ids */
  char server_name[256];       /* name and version of the daemon */
} larder_limits;

/* Connects and shakes hands.
 *
 * path: of the data socket; NULL for $LARDER_SOCKET, else /run/larder/larder.sock.
 * name: of this client, for the daemon's log; NULL for "c".
 * timeout_ms: of every wait; 0 for LARDER_DEFAULT_TIMEOUT_MS.
 * client: set even where the call fails, so that larder_message() can say why; NULL only if memory is out. Close it in
 *   either case. */
larder_status larder_connect(const char *path, const char *name, uint32_t timeout_ms, larder_client **client);

/* Ends a connection: its arenas are unmapped and their handles invalid, its pins end. NULL is allowed. */
void larder_close(larder_client *client);

/* True while the connection can be used. */
bool larder_is_usable(const larder_client *client);

/* One sentence about the last call on this connection; "" if it did not fail. For people; do not parse it. */
const char *larder_message(const larder_client *client);

/* What the handshake agreed on; zeros if it failed. Lives as long as the connection. */
const larder_limits *larder_limits_of(const larder_client *client);

/* True if the daemon shares memory: then chunks cross no socket. */
bool larder_has_arenas(const larder_client *client);

/* Gives back an answer that a call has handed out. NULL is allowed. */
void larder_free(void *answer);

/* ---- Models, sessions, prefix keys ------------------------------------------------------------------------------- */

/* A prefix key, a fingerprint: 32 bytes of SHA-256. */
typedef struct larder_key {
  uint8_t bytes[32];
} larder_key;

/* One kind of state in a model. A chunk of it is [layers][planes][tokens][row_bytes], the last index running fastest;
 * a recurrent state is [layers][planes][row_bytes]. */
typedef struct larder_component {
  const char *name;
  larder_component_kind kind;
  larder_element_type element_type;
  uint32_t layers;
  uint32_t planes;    /* in a layer: 2 for K and V, 1 for a joint latent */
  uint32_t row_bytes; /* of one token (recurrent: of the state) in one plane of one layer */
  uint32_t window;    /* tokens; above 0 for sliding components, 0 for others */
} larder_component;

/* All that makes state interchangeable. Whatever differs in it is never served. */
typedef struct larder_model {
  const char *name;
  const char *revision; /* of the model or the engine's layout; "" for none */
  const char *weights;  /* identity of the weights, best a content hash; "" for none */
  uint32_t page_tokens; /* chunk offsets are multiples of this; 1 allows any */
  uint32_t group_size;  /* workers in the parallel group; 1 for none */
  uint32_t rank;        /* this worker's place in it, from 0 */
  const larder_component *components;
  uint16_t component_count;
} larder_model;

/* A model that the store knows. */
typedef struct larder_declared {
  uint32_t model_id;      /* from 1; the store's, for as long as it lives */
  larder_key fingerprint; /* SHA-256 of the declaration */
} larder_declared;

/* Declares a model. Equal declarations get one id. */
larder_status larder_declare_model(larder_client *client, const larder_model *model, larder_declared *declared);

/* A session that was opened or made. */
typedef struct larder_session {
  uint64_t id; /* never used again; outlives connections and restarts */
  bool created;
} larder_session;

/* Opens a session by name, or creates it. A namespace that is new belongs to this user.
 * create: if false, a session that does not exist is LARDER_UNKNOWN_SESSION. */
larder_status larder_open_session(larder_client *client, const char *namespace_name, const char *name,
                                  uint32_t model_id, bool create, larder_session *session);

/* Makes a session that shares another's past up to `offset` tokens, at once. LARDER_EXISTS if the name is taken. */
larder_status larder_fork(larder_client *client, uint64_t session, uint64_t offset, const char *name,
                          larder_session *forked);

/* Forgets every chunk of a session that reaches beyond `offset` tokens, of all ranks, at once. */
larder_status larder_truncate(larder_client *client, uint64_t session, uint64_t offset);

/* Forgets a session, at once. */
larder_status larder_drop(larder_client *client, uint64_t session);

/* Sets the seconds since a session's last use after which its state expires; 0 for what its namespace says, UINT32_MAX
 * for never. */
larder_status larder_configure_session(larder_client *client, uint64_t session, uint32_t ttl_seconds);

/* The prefix keys of the whole chunks of `chunk_tokens` tokens in a prompt: key i is a hash over all tokens up to the
 * end of chunk i. Key 0 chains on SHA-256("larder-prefix-1", u64 length of context, context), each on the one before:
 * SHA-256(key before, the chunk's tokens as u32, little-endian).
 *
 * context: whatever else makes the state, such as a LoRA's name; NULL for none.
 * parent: NULL, or the key to chain on instead of the context: the last key of the tokens before these.
 * keys: room for token_count / chunk_tokens of them; NULL to count only.
 * Returns how many there are; 0 if chunk_tokens is 0. */
size_t larder_prefix_keys(const uint32_t *tokens, size_t token_count, size_t chunk_tokens, const void *context,
                          size_t context_bytes, const larder_key *parent, larder_key *keys);

/* The key of a recurrent state that is valid after all of these tokens, at a chunk's end or not: the last of the prefix
 * keys if they are whole chunks, else one more link over those that are left over. Arguments as above; a chunk_tokens
 * of 0 takes all tokens as one chunk. */
larder_key larder_recurrent_key(const uint32_t *tokens, size_t token_count, size_t chunk_tokens, const void *context,
                                size_t context_bytes, const larder_key *parent);

/* How many of `keys`, from the first on, name stored chunks of a component. At most the daemon's batch_items keys. A
 * match promises nothing: page out by key alone, and what is a miss with its bytes. */
larder_status larder_match(larder_client *client, const char *namespace_name, uint32_t model_id, uint16_t component,
                           const larder_key *keys, size_t key_count, uint32_t *matched);

/* ---- Paging ------------------------------------------------------------------------------------------------------ */

/* Which chunk. */
typedef struct larder_chunk {
  uint64_t session;
  uint16_t rank;      /* in the parallel group */
  uint16_t component; /* index into the components that this rank declared */
  uint64_t offset;    /* tokens before it; for a recurrent state, the offset at which it is valid */
} larder_chunk;

/* A chunk to page out. */
typedef struct larder_page_out {
  larder_chunk chunk;
  uint32_t tokens;              /* 0 for a recurrent state */
  const void *bytes;            /* in an arena of this connection, or anywhere else; NULL to page out by key alone */
  size_t byte_count;            /* layers * planes * tokens * row_bytes; 0 by key alone */
  const larder_key *prefix_key; /* its name by content; NULL for none */
} larder_page_out;

/* A chunk to page in, or a range of its layers. */
typedef struct larder_page_in {
  larder_chunk chunk;   /* the very name of a stored chunk, as larder_resume or larder_list_chunks gives it */
  uint32_t first_layer;
  uint32_t layers;      /* 0 for all from the first on */
  void *into;           /* in an arena of this connection, or anywhere else; undefined where the item fails */
  size_t byte_count;    /* room there */
} larder_page_in;

/* What became of one item. */
typedef struct larder_result {
  larder_status status;
  uint32_t tokens;     /* of the chunk that was paged in; 0 for a page-out */
  uint64_t bytes;      /* that it takes in the store; for a page-in, that were written. 0 where it failed */
  const char *message; /* "" where it was done, or there was no room left. The connection's, until its next call */
} larder_result;

/* Pages one chunk out. stored_bytes: what it takes in the store; may be NULL. */
larder_status larder_put(larder_client *client, const larder_page_out *item, larder_acknowledgement acknowledgement,
                         larder_encoding encoding, uint64_t *stored_bytes);

/* Pages chunks out, any number of them, in requests that are under way together.
 *
 * Bytes in an arena are read where they lie and cross no socket; do not change them until the call returns. Others are
 * copied once, into an arena of the connection's own, or sent over the socket where there is none.
 *
 * results: one an item, in order; always filled in. Items succeed or fail each for itself.
 * Returns LARDER_OK if all were done, else the status of the first that was not; larder_message() names it. */
larder_status larder_put_from(larder_client *client, const larder_page_out *items, size_t count,
                              larder_acknowledgement acknowledgement, larder_encoding encoding, larder_result *results);

/* Told that the first `layers` of the layers that each item asks for are in place. Must not use the connection. */
typedef void (*larder_progress)(void *context, uint32_t layers);

/* Pages chunks in, any number of them, in requests that are under way together. Memory as in larder_put_from.
 *
 * layer_group: 0, or after how many layers `progress` is told. Then all items are in arenas and in one request: at most
 *   the daemon's batch_items. It may be told less often, and not at all once an item fails: the results are what
 *   counts.
 * results, return: as in larder_put_from. LARDER_MISS is no failure: compute the state. */
larder_status larder_get_into(larder_client *client, const larder_page_in *items, size_t count, uint32_t layer_group,
                              larder_progress progress, void *context, larder_result *results);

/* Memory that the daemon and this process share. Ends with its connection. */
typedef struct larder_arena larder_arena;

/* Has the daemon make an arena, sealed against resizing. byte_count: above 0. */
larder_status larder_open_arena(larder_client *client, size_t byte_count, larder_arena **arena);

/* Shares memory of the caller's own, such as an engine's host pool.
 *
 * descriptor: a memfd of exactly byte_count bytes, sealed against shrinking and growing; stays the caller's.
 * mapping: where the caller has mapped all of it, which must outlive the arena; NULL to have the client map it. */
larder_status larder_register_arena(larder_client *client, int descriptor, void *mapping, size_t byte_count,
                                    larder_arena **arena);

/* Gives an arena back and unmaps what the client has mapped. The handle is invalid afterwards, whatever is returned. */
larder_status larder_close_arena(larder_arena *arena);

/* Where an arena begins in this process, and how many bytes it has. Readable even where the connection is lost, until
 * it is closed. */
void *larder_arena_bytes(const larder_arena *arena);
size_t larder_arena_size(const larder_arena *arena);

/* Makes memory for larder_register_arena: a memfd, sealed against resizing. The descriptor is the caller's to close.
 * Returns LARDER_OK, LARDER_INVALID_ARGUMENT or LARDER_SYSTEM (see errno). */
larder_status larder_sealed_memfd(size_t byte_count, int *descriptor);

/* ---- Resuming ---------------------------------------------------------------------------------------------------- */

/* A stored chunk. */
typedef struct larder_chunk_summary {
  larder_chunk chunk;
  uint32_t tokens;          /* 0 for a recurrent state */
  uint64_t raw_bytes;       /* that a page-in of all of it returns */
  uint64_t stored_bytes;
  larder_encoding encoding; /* of most of it */
  uint64_t created_seconds;
} larder_chunk_summary;

/* How far one component of one rank reaches. */
typedef struct larder_reach {
  uint16_t rank;
  uint16_t component;
  uint64_t offset;
} larder_reach;

/* How far a session can be restored, and what to load for it. */
typedef struct larder_resume_plan {
  uint64_t offset;          /* the resume point; 0 if nothing can be restored, which is no failure */
  bool complete;            /* false if there are more chunks than LARDER_RESUME_CHUNKS: larder_list_chunks has them */
  uint64_t raw_bytes;       /* to load */
  uint64_t load_us;         /* microseconds that loading takes, as page-ins went lately */
  uint64_t cheapest_offset; /* with which loading and computing the rest take least: resume again up to it */
  uint32_t prefill_rate;    /* tokens a second that this was worked out with; 0 if none is known */
  uint32_t reach_count;
  larder_reach *reaches;
  uint32_t chunk_count;
  larder_chunk_summary *chunks; /* by offset, rank, component */
} larder_resume_plan;

/* How far a session can be restored. What the answer names is kept from eviction for 30 seconds.
 * at_most: the largest offset of use; LARDER_WHOLE for no bound. prefill_rate: tokens that the worker computes in a
 * second; 0 if it does not know. plan: larder_free() it. */
larder_status larder_resume(larder_client *client, uint64_t session, uint64_t at_most, uint32_t prefill_rate,
                            larder_resume_plan **plan);

/* Where recurrent states are worth their bytes, rising. */
typedef struct larder_snapshot_plan {
  uint32_t count;
  uint64_t *offsets;
} larder_snapshot_plan;

/* Plans where to save recurrent states on the way to `length` tokens, computing from `resumed_at` on.
 * boundary: tokens from one place where a state can be saved to the next, at least 1. stride: tokens between regular
 * states; 0 for none. budget: most states; 0 for LARDER_SNAPSHOTS. plan: larder_free() it. */
larder_status larder_plan_snapshots(larder_client *client, uint64_t session, uint64_t length, uint64_t resumed_at,
                                    uint32_t boundary, uint32_t stride, uint32_t budget, larder_snapshot_plan **plan);

/* What keeps one component of one rank from an offset. */
typedef struct larder_track {
  uint16_t rank;
  uint16_t component;
  uint64_t reach;           /* how far it alone can be restored */
  larder_cause cause;
  uint64_t missing_from;    /* the first tokens that are missing; equal for a state */
  uint64_t missing_to;
  larder_rule rule;         /* of an eviction */
  uint64_t evicted_seconds; /* of an eviction, else 0 */
} larder_track;

/* Why a session can be restored as far as it can. */
typedef struct larder_explanation {
  uint64_t at;     /* the offset in question */
  uint64_t end;    /* where the last stored chunk ends */
  uint64_t offset; /* the resume point up to `at` */
  uint32_t missing_rank_count;
  uint16_t *missing_ranks;      /* that have not opened the session: until they have, nothing can be restored */
  const char *model_difference; /* the field in which the model differs; "" for none */
  uint32_t track_count;
  larder_track *tracks;
} larder_explanation;

/* Explains a resume point. model_id: a model to compare with the session's; 0 for none. explanation: larder_free() it.
 */
larder_status larder_explain(larder_client *client, uint64_t session, uint64_t at_most, uint32_t model_id,
                             larder_explanation **explanation);

/* Has the daemon bring what a resume would load into memory, in the background. LARDER_BUSY where many wait. */
larder_status larder_prefetch(larder_client *client, uint64_t session, uint64_t at_most);

/* ---- Hints ------------------------------------------------------------------------------------------------------- */

/* What is to come of state. Fields that the kind or the target does not use are ignored. */
typedef struct larder_hint {
  larder_hint_kind kind;
  int8_t priority;           /* of a retention: -100 to 100 */
  uint32_t seconds;          /* of a retention or pin; 0 ends what an earlier one began */
  larder_hint_target target;
  uint64_t session;
  uint64_t from;             /* tokens */
  uint64_t to;               /* tokens; LARDER_WHOLE for the session's end */
  uint16_t rank;
  uint16_t component;
  const char *namespace_name;
  uint32_t model_id;
  const larder_key *keys;
  uint32_t key_count;
} larder_hint;

/* What was made of a hint. */
typedef struct larder_hint_result {
  larder_outcome outcome;
  larder_bound bound;
  uint64_t from;      /* what it holds for: tokens from..<to, or so many keys from 0 on */
  uint64_t to;
  uint32_t seconds;   /* for how long; 0 where that means nothing */
  const char *reason; /* "" if bound is none. The connection's, until its next call */
} larder_hint_result;

/* Gives hints, at most the daemon's batch_items, and fills in one result each, in order. LARDER_OK means that they
 * were answered: what was made of them is in the results. */
larder_status larder_give_hints(larder_client *client, const larder_hint *hints, size_t count,
                                larder_hint_result *results);

/* Keep the tokens from..<to of a session rather than other state, for so many seconds: a bias. A priority below 0
 * makes it a demotion. result: may be NULL, here and below. */
larder_status larder_retain(larder_client *client, uint64_t session, uint64_t from, uint64_t to, uint32_t seconds,
                            int8_t priority, larder_hint_result *result);

/* Keep them whatever else goes, until then or the end of this connection: a lease. */
larder_status larder_pin(larder_client *client, uint64_t session, uint64_t from, uint64_t to, uint32_t seconds,
                         larder_hint_result *result);

/* Let them go before other state. */
larder_status larder_demote(larder_client *client, uint64_t session, uint64_t from, uint64_t to,
                            larder_hint_result *result);

/* Names the chunks of one component from..<to by prefix keys, one each, so that other sessions find them. */
larder_status larder_share(larder_client *client, uint64_t session, uint16_t rank, uint16_t component, uint64_t from,
                           uint64_t to, const larder_key *keys, uint32_t key_count, larder_hint_result *result);

/* ---- Namespaces, settings ---------------------------------------------------------------------------------------- */

/* A namespace's policy. */
typedef struct larder_policy {
  larder_sharing sharing;
  bool has_salt;
  uint32_t ttl_seconds;  /* since a session's last use; 0 for never */
  uint64_t min_bytes;    /* stored bytes that it keeps whatever others need */
  uint64_t max_bytes;    /* most stored bytes; 0 for no limit */
  uint32_t max_sessions; /* 0 for no limit */
  larder_admission admission;
} larder_policy;

/* Which fields of a larder_policy_change count: or them together. */
#define LARDER_SET_SHARING 1u
#define LARDER_SET_SALT 2u
#define LARDER_SET_TTL 4u
#define LARDER_SET_MIN_BYTES 8u
#define LARDER_SET_MAX_BYTES 16u
#define LARDER_SET_MAX_SESSIONS 32u
#define LARDER_SET_ADMISSION 64u

/* A change of a policy. The owner may set the first three, root and the daemon's own user all. */
typedef struct larder_policy_change {
  uint16_t fields; /* of LARDER_SET_... */
  larder_sharing sharing;
  uint8_t salt[32]; /* random; it hides keys from who can guess a prefix */
  uint8_t salt_bytes; /* 0 for no salt */
  uint32_t ttl_seconds;
  uint64_t min_bytes;
  uint64_t max_bytes;
  uint32_t max_sessions;
  larder_admission admission;
} larder_policy_change;

/* Changes a namespace's policy, or asks for it. change: NULL to ask. policy: the one in force; may be NULL. */
larder_status larder_configure_namespace(larder_client *client, const char *name, const larder_policy_change *change,
                                         larder_policy *policy);

/* Says how many tokens a model's workers compute in a second of prefill; 0 forgets it. */
larder_status larder_set_prefill_rate(larder_client *client, uint32_t model_id, uint32_t prefill_rate);

/* Changes the most bytes that the store takes of the disk, until the daemon is restarted. For root and the daemon's
 * user. cap_bytes_in_force, disk_bytes (what it takes now): may be NULL. */
larder_status larder_set_cap(larder_client *client, uint64_t cap_bytes, uint64_t *cap_bytes_in_force,
                             uint64_t *disk_bytes);

/* Returns when all that was committed before survives power loss. */
larder_status larder_sync(larder_client *client);

/* ---- Questions. Answers are the caller's: larder_free() them ----------------------------------------------------- */

/* A model of the store. */
typedef struct larder_model_summary {
  larder_declared declared;
  larder_model model;
} larder_model_summary;

typedef struct larder_model_page {
  uint32_t count; /* fewer than LARDER_PAGE_ENTRIES: the last page */
  larder_model_summary *models;
} larder_model_page;

/* Models in order of id, beyond the id `after`; 0 to start. */
larder_status larder_list_models(larder_client *client, uint32_t after, larder_model_page **page);

/* A namespace. */
typedef struct larder_namespace_summary {
  uint32_t namespace_id;
  const char *name;
  uint32_t owner_user_id;
  uint64_t sessions;
  larder_policy policy;
} larder_namespace_summary;

typedef struct larder_namespace_page {
  uint32_t count; /* fewer than LARDER_PAGE_ENTRIES: the last page */
  larder_namespace_summary *namespaces;
} larder_namespace_page;

/* Namespaces that this user may use, in order of id, beyond the id `after`; 0 to start. */
larder_status larder_list_namespaces(larder_client *client, uint32_t after, larder_namespace_page **page);

/* A rank of a session, and its model. */
typedef struct larder_session_model {
  uint16_t rank;
  uint32_t model_id;
} larder_session_model;

/* A session. */
typedef struct larder_session_summary {
  uint64_t session;
  const char *namespace_name;
  const char *name;
  uint32_t owner_user_id;
  uint32_t model_count;
  larder_session_model *models;
  uint64_t chunks;       /* that no other session sees: what a drop would free */
  uint64_t raw_bytes;    /* theirs */
  uint64_t stored_bytes; /* theirs */
  uint64_t created_seconds;
  uint64_t changed_seconds;
  uint32_t ttl_seconds; /* its own; 0 for what its namespace says */
} larder_session_summary;

typedef struct larder_session_page {
  uint64_t next; /* `after` of the following page; 0 at the end */
  uint32_t count;
  larder_session_summary *sessions;
} larder_session_page;

/* Sessions that this user may see, in order of id. namespace_name: "" or NULL for all. after: 0 to start. */
larder_status larder_list_sessions(larder_client *client, const char *namespace_name, uint64_t after,
                                   larder_session_page **page);

typedef struct larder_chunk_page {
  uint32_t count; /* fewer than LARDER_PAGE_ENTRIES: the last page */
  larder_chunk_summary *chunks;
} larder_chunk_page;

/* Chunks of from->session in order of rank, component and offset. Start with rank, component and offset 0; go on from
 * the last chunk's name with its offset + 1. */
larder_status larder_list_chunks(larder_client *client, const larder_chunk *from, larder_chunk_page **page);

typedef struct larder_fact {
  const char *name;
  const char *value;
} larder_fact;

typedef struct larder_counter {
  const char *name; /* its unit comes last */
  uint64_t value;
} larder_counter;

/* Facts and counters of the daemon, in no order. Ignore names that you do not know. */
typedef struct larder_statistics {
  uint32_t fact_count;
  larder_fact *facts;
  uint32_t counter_count;
  larder_counter *counters;
} larder_statistics;

/* Asks for them. */
larder_status larder_stat(larder_client *client, larder_statistics **statistics);

typedef struct larder_damage {
  larder_chunk chunk;
  const char *reason;
} larder_damage;

typedef struct larder_verification {
  uint64_t checked;   /* chunks read for this answer */
  uint64_t raw_bytes; /* of those that are whole */
  uint32_t damaged_count;
  larder_damage *damaged;
  bool more;          /* true if there are more to check, from `next` on */
  larder_chunk next;
} larder_verification;

/* Has the daemon read and check chunks of from->session, as many as suit one answer; start as in larder_list_chunks. */
larder_status larder_verify(larder_client *client, const larder_chunk *from, larder_verification **verification);

/* What a report is about. */
typedef struct larder_report_request {
  uint64_t session;           /* one session; the other fields are then 0 and NULL. 0 for namespaces and models */
  uint64_t from;              /* seconds since 1970; 0 for the start */
  uint64_t to;                /* the first second that does not count; 0 for no end */
  const char *namespace_name; /* NULL or "" for all that this user may see */
  uint32_t model_id;          /* 0 for all */
  uint64_t after;             /* `next` of the page before; 0 to start */
} larder_report_request;

/* What paging of one model in one namespace has saved; see report in Docs/PROTOCOL.md. */
typedef struct larder_report_row {
  const char *namespace_name;
  uint32_t model_id;
  uint64_t stored_tokens;
  uint64_t restored_tokens;
  uint64_t not_recomputed_tokens;
  uint64_t page_out_raw_bytes;
  uint64_t page_out_stored_bytes;
  uint64_t page_in_raw_bytes;
  uint64_t page_in_stored_bytes;
  uint32_t prefill_rate; /* tokens a second; 0 if none is known */
  larder_rate_origin rate_origin;
  uint64_t prefill_avoided_ms;
} larder_report_row;

typedef struct larder_report_page {
  uint64_t from;           /* seconds since 1970 */
  uint64_t to;
  uint64_t gpu_hour_price; /* in millionths of the operator's currency; 0 if the daemon was not told */
  uint64_t next;           /* `after` of the following page; 0 at the end */
  uint32_t count;
  larder_report_row *rows;
} larder_report_page;

/* What paging has saved. */
larder_status larder_report(larder_client *client, const larder_report_request *request, larder_report_page **page);

#ifdef __cplusplus
}
#endif

#endif /* LARDER_H */

/* ================================================================================================================== */
#if defined(LARDER_IMPLEMENTATION) && !defined(LARDER_IMPLEMENTED)
#define LARDER_IMPLEMENTED

/* Inside, names begin with lrd_. From bottom to top: hash, bytes, requests, answers, connection, arenas, batches,
 * calls. What is below knows nothing of what is above. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#if !defined(MFD_ALLOW_SEALING) || !defined(F_ADD_SEALS)
#error "larder.h needs Linux: where LARDER_IMPLEMENTATION is defined, include it first, or compile with -D_GNU_SOURCE"
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum {
  LRD_HEADER_BYTES = 16,
  LRD_WINDOW = 4,                /* requests of a batch under way at once */
  LRD_REQUEST_ITEMS = 512,       /* items of one of them: their answer stays small beside the socket's buffer */
  LRD_INLINE_BYTES = 8 << 20,    /* payload bytes that one of them carries, unless one chunk is larger */
  LRD_ARENA_BYTES = 64 << 20,    /* the same where they stay in an arena */
  LRD_SLOT_BYTES = 8 << 20,      /* of the connection's own arena, for one request */
  LRD_STAGE_BYTES = LRD_SLOT_BYTES * LRD_WINDOW,
  LRD_ALIGNMENT = 64,            /* bytes, of a chunk in it */
  LRD_ITEM_BYTES = 80,           /* at most, of an item in a request */
  LRD_ITEM_ANSWER_BYTES = 1100,  /* at most, of an item in an answer, beside its payload */
  LRD_READ_BYTES = 64 << 10,     /* least room of the input buffer */
  LRD_IDLE_BYTES = 1 << 20,      /* most room that the input buffer keeps between calls */
  LRD_PROGRESS_FRAMES = 64,
  LRD_DESCRIPTORS = 4,           /* that may come with bytes of the socket */
  LRD_RETRY_MS = 5               /* between tries to connect to a daemon whose queue is full */
};

/* Message types; an answer has bit 0x8000. */
enum {
  LRD_HELLO = 0x01,
  LRD_DECLARE_MODEL = 0x02,
  LRD_OPEN_SESSION = 0x03,
  LRD_PUT = 0x04,
  LRD_GET = 0x05,
  LRD_RESUME = 0x06,
  LRD_TRUNCATE = 0x07,
  LRD_DROP = 0x08,
  LRD_LIST_MODELS = 0x09,
  LRD_LIST_SESSIONS = 0x0A,
  LRD_LIST_CHUNKS = 0x0B,
  LRD_STAT = 0x0C,
  LRD_SYNC = 0x0D,
  LRD_VERIFY = 0x0E,
  LRD_OPEN_ARENA = 0x0F,
  LRD_REGISTER_ARENA = 0x10,
  LRD_CLOSE_ARENA = 0x11,
  LRD_GET_INTO = 0x12,
  LRD_PREFETCH = 0x13,
  LRD_FORK = 0x14,
  LRD_EXPLAIN = 0x15,
  LRD_MATCH = 0x16,
  LRD_PLAN_SNAPSHOTS = 0x17,
  LRD_CONFIGURE_NAMESPACE = 0x18,
  LRD_LIST_NAMESPACES = 0x19,
  LRD_CONFIGURE_SESSION = 0x1A,
  LRD_REPORT = 0x1B,
  LRD_SET_PREFILL_RATE = 0x1C,
  LRD_HINT = 0x1D,
  LRD_SET_CAP = 0x1E,
  LRD_ANSWER_BIT = 0x8000,
  LRD_PROGRESS_TYPE = 0xC012,
  LRD_REFUSAL_TYPE = 0xFFFF
};

/* ---- Hash: SHA-256, FIPS 180-4 ----------------------------------------------------------------------------------- */

typedef struct lrd_sha256 {
  uint32_t state[8];
  uint64_t total;    /* bytes so far */
  uint8_t block[64]; /* the last total % 64 of them */
} lrd_sha256;

static uint32_t lrd_rotate(uint32_t value, unsigned by) { return (value >> by) | (value << (32 - by)); }

static void lrd_sha256_block(uint32_t state[8], const uint8_t *block) {
  static const uint32_t constants[64] = {
      0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
      0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
      0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
      0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
      0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
      0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
      0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
      0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
  uint32_t words[64], v[8];
  for (int i = 0; i < 16; i++)
    words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
               (uint32_t)block[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    uint32_t a = words[i - 15], b = words[i - 2];
    uint32_t s0 = lrd_rotate(a, 7) ^ lrd_rotate(a, 18) ^ (a >> 3);
    uint32_t s1 = lrd_rotate(b, 17) ^ lrd_rotate(b, 19) ^ (b >> 10);
    words[i] = words[i - 16] + s0 + words[i - 7] + s1;
  }
  memcpy(v, state, sizeof v);
  for (int i = 0; i < 64; i++) {
    uint32_t s1 = lrd_rotate(v[4], 6) ^ lrd_rotate(v[4], 11) ^ lrd_rotate(v[4], 25);
    uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + constants[i] + words[i];
    uint32_t s0 = lrd_rotate(v[0], 2) ^ lrd_rotate(v[0], 13) ^ lrd_rotate(v[0], 22);
    uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    memmove(v + 1, v, 7 * sizeof v[0]);
    v[4] += t1;
    v[0] = t1 + t2;
  }
  for (int i = 0; i < 8; i++) state[i] += v[i];
}

static void lrd_sha256_begin(lrd_sha256 *hash) {
  static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memset(hash, 0, sizeof *hash);
  memcpy(hash->state, initial, sizeof initial);
}

static void lrd_sha256_add(lrd_sha256 *hash, const void *bytes, size_t count) {
  const uint8_t *at = (const uint8_t *)bytes;
  while (count > 0) {
    size_t used = (size_t)(hash->total % 64), part = 64 - used < count ? 64 - used : count;
    memcpy(hash->block + used, at, part);
    hash->total += part;
    at += part;
    count -= part;
    if (used + part == 64) lrd_sha256_block(hash->state, hash->block);
  }
}

static larder_key lrd_sha256_end(lrd_sha256 *hash) {
  static const uint8_t padding[64] = {0x80};
  uint64_t bits = hash->total * 8;
  uint8_t length[8];
  larder_key key;
  for (int i = 0; i < 8; i++) length[i] = (uint8_t)(bits >> (56 - 8 * i));
  lrd_sha256_add(hash, padding, 1 + (size_t)((119 - hash->total % 64) % 64));
  lrd_sha256_add(hash, length, 8);
  for (int i = 0; i < 32; i++) key.bytes[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
  return key;
}

/* ---- Bytes ------------------------------------------------------------------------------------------------------- */

/* A request that grows. The first fault stays, and whatever follows it does nothing. */
typedef struct lrd_writer {
  uint8_t *bytes;
  size_t count;
  size_t capacity;
  size_t limit; /* bytes of a frame after its header */
  larder_status fault;
  const char *reason;
} lrd_writer;

static void lrd_writer_fail(lrd_writer *writer, larder_status fault, const char *reason) {
  if (writer->fault != LARDER_OK) return;
  writer->fault = fault;
  writer->reason = reason;
}

static void lrd_put(lrd_writer *writer, const void *bytes, size_t count) {
  if (writer->fault != LARDER_OK || count == 0) return;
  if (count > writer->limit + LRD_HEADER_BYTES - writer->count) {
    lrd_writer_fail(writer, LARDER_TOO_LARGE, "the request is larger than a frame; send less at once");
    return;
  }
  if (count > writer->capacity - writer->count) {
    size_t capacity = (writer->count + count) * 2 + 256;
    uint8_t *grown = (uint8_t *)realloc(writer->bytes, capacity);
    if (grown == NULL) {
      lrd_writer_fail(writer, LARDER_OUT_OF_MEMORY, "memory for a request is out");
      return;
    }
    writer->bytes = grown;
    writer->capacity = capacity;
  }
  memcpy(writer->bytes + writer->count, bytes, count);
  writer->count += count;
}

static void lrd_put_integer(lrd_writer *writer, uint64_t value, size_t width) {
  uint8_t bytes[8];
  for (size_t i = 0; i < width; i++) bytes[i] = (uint8_t)(value >> (8 * i));
  lrd_put(writer, bytes, width);
}

static void lrd_put_u8(lrd_writer *writer, unsigned value) { lrd_put_integer(writer, value, 1); }
static void lrd_put_u16(lrd_writer *writer, unsigned value) { lrd_put_integer(writer, value, 2); }
static void lrd_put_u32(lrd_writer *writer, uint32_t value) { lrd_put_integer(writer, value, 4); }
static void lrd_put_u64(lrd_writer *writer, uint64_t value) { lrd_put_integer(writer, value, 8); }

static void lrd_put_text(lrd_writer *writer, const char *text) {
  size_t count = text == NULL ? 0 : strnlen(text, (size_t)UINT16_MAX + 1);
  if (text == NULL) lrd_writer_fail(writer, LARDER_INVALID_ARGUMENT, "a text is NULL; give one, or \"\"");
  if (count > UINT16_MAX) lrd_writer_fail(writer, LARDER_INVALID_ARGUMENT, "a text is longer than 65,535 bytes");
  lrd_put_u16(writer, (unsigned)count);
  if (count > 0) lrd_put(writer, text, count);
}

static void lrd_put_keys(lrd_writer *writer, const larder_key *keys, size_t count) {
  if (count > LARDER_BATCH_ITEMS) lrd_writer_fail(writer, LARDER_INVALID_ARGUMENT, "too many keys; ask in parts");
  if (count > 0 && keys == NULL) lrd_writer_fail(writer, LARDER_INVALID_ARGUMENT, "keys is NULL");
  lrd_put_u32(writer, (uint32_t)count);
  lrd_put(writer, keys, count * sizeof(larder_key));
}

static void lrd_put_chunk(lrd_writer *writer, const larder_chunk *chunk) {
  lrd_put_u64(writer, chunk->session);
  lrd_put_u16(writer, chunk->rank);
  lrd_put_u16(writer, chunk->component);
  lrd_put_u64(writer, chunk->offset);
}

/* Begins a frame; its length follows at the end. */
static void lrd_start(lrd_writer *writer, unsigned type, uint64_t id) {
  writer->count = 0;
  writer->fault = LARDER_OK;
  writer->reason = "";
  lrd_put_u32(writer, 0);
  lrd_put_u16(writer, type);
  lrd_put_u16(writer, 0);
  lrd_put_u64(writer, id);
}

/* Ends a frame that so many bytes of payload follow. */
static void lrd_finish(lrd_writer *writer, uint64_t payload_bytes) {
  if (writer->fault != LARDER_OK) return;
  size_t fields = writer->count - LRD_HEADER_BYTES;
  if (payload_bytes > writer->limit - fields) {
    lrd_writer_fail(writer, LARDER_TOO_LARGE, "the request is larger than a frame; send less at once");
    return;
  }
  uint64_t body = fields + payload_bytes;
  for (int i = 0; i < 4; i++) writer->bytes[i] = (uint8_t)(body >> (8 * i));
}

/* Memory of one answer: the caller holds what follows the first of a chain. */
typedef union lrd_block {
  union lrd_block *next;
  max_align_t aligned;
} lrd_block;

/* Zeros, linked behind `first` if there is one; NULL if memory is out. */
static void *lrd_allocate(lrd_block *first, size_t count, size_t size) {
  if (size != 0 && count > (SIZE_MAX - sizeof(lrd_block)) / size) return NULL;
  lrd_block *block = (lrd_block *)calloc(1, sizeof(lrd_block) + count * size);
  if (block == NULL) return NULL;
  if (first != NULL) {
    block->next = first->next;
    first->next = block;
  }
  return block + 1;
}

static void lrd_free_chain(lrd_block *block) {
  while (block != NULL) {
    lrd_block *next = block->next;
    free(block);
    block = next;
  }
}

/* Texts that belong to the connection until its next call. */
typedef struct lrd_keeper {
  lrd_block *texts;
  size_t bytes;
} lrd_keeper;

/* A copy that ends with a zero; "" where there is no room for it. */
static const char *lrd_keep(lrd_keeper *keeper, const uint8_t *text, size_t count) {
  if (count == 0 || count >= LARDER_KEPT_BYTES - keeper->bytes) return "";
  char *copy = (char *)lrd_allocate(keeper->texts, count + 1, 1);
  if (copy == NULL) return "";
  if (keeper->texts == NULL) keeper->texts = (lrd_block *)(void *)copy - 1;
  memcpy(copy, text, count);
  keeper->bytes += count + 1;
  return copy;
}

static void lrd_forget(lrd_keeper *keeper) {
  lrd_free_chain(keeper->texts);
  keeper->texts = NULL;
  keeper->bytes = 0;
}

/* A body that is read. The first fault stays; whatever is read after it is 0. */
typedef struct lrd_reader {
  uint8_t *at;
  uint8_t *end;
  lrd_block *answer; /* memory of lists; NULL where there are none */
  larder_status fault;
  const char *reason;
} lrd_reader;

static void lrd_reader_fail(lrd_reader *reader, larder_status fault, const char *reason) {
  if (reader->fault != LARDER_OK) return;
  reader->fault = fault;
  reader->reason = reason;
  reader->at = reader->end;
}

static size_t lrd_left(const lrd_reader *reader) { return (size_t)(reader->end - reader->at); }

/* The next bytes; NULL, and a fault, if there are fewer. */
static uint8_t *lrd_take(lrd_reader *reader, size_t count) {
  if (count > lrd_left(reader)) {
    lrd_reader_fail(reader, LARDER_PROTOCOL_VIOLATION, "an answer ends too early");
    return NULL;
  }
  uint8_t *at = reader->at;
  reader->at += count;
  return at;
}

static uint64_t lrd_integer(lrd_reader *reader, size_t width) {
  const uint8_t *bytes = lrd_take(reader, width);
  uint64_t value = 0;
  for (size_t i = 0; bytes != NULL && i < width; i++) value |= (uint64_t)bytes[i] << (8 * i);
  return value;
}

static uint8_t lrd_u8(lrd_reader *reader) { return (uint8_t)lrd_integer(reader, 1); }
static uint16_t lrd_u16(lrd_reader *reader) { return (uint16_t)lrd_integer(reader, 2); }
static uint32_t lrd_u32(lrd_reader *reader) { return (uint32_t)lrd_integer(reader, 4); }
static uint64_t lrd_u64(lrd_reader *reader) { return lrd_integer(reader, 8); }

/* An enumeration's value from `first` to `last`; `first`, and a fault, for any other. */
static int lrd_value(lrd_reader *reader, int first, int last) {
  int value = lrd_u8(reader);
  if (value >= first && value <= last) return value;
  lrd_reader_fail(reader, LARDER_PROTOCOL_VIOLATION, "an answer has a value that its enumeration does not");
  return first;
}

static bool lrd_flag(lrd_reader *reader) { return lrd_value(reader, 0, 1) == 1; }

static void lrd_hash(lrd_reader *reader, larder_key *key) {
  const uint8_t *bytes = lrd_take(reader, sizeof key->bytes);
  if (bytes != NULL) memcpy(key->bytes, bytes, sizeof key->bytes);
}

static larder_chunk lrd_chunk(lrd_reader *reader) {
  larder_chunk chunk;
  chunk.session = lrd_u64(reader);
  chunk.rank = lrd_u16(reader);
  chunk.component = lrd_u16(reader);
  chunk.offset = lrd_u64(reader);
  return chunk;
}

/* Bytes of the character that begins at `text`, of `left`; 0 if it is not UTF-8 (RFC 3629). */
static size_t lrd_character(const uint8_t *text, size_t left) {
  uint8_t lead = text[0];
  if (lead < 0x80) return 1;
  size_t count = lead >= 0xC2 && lead <= 0xDF ? 2 : (lead & 0xF0) == 0xE0 ? 3 : lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
  if (count == 0 || count > left) return 0;
  for (size_t i = 1; i < count; i++)
    if ((text[i] & 0xC0) != 0x80) return 0;
  bool overlong = (lead == 0xE0 && text[1] < 0xA0) || (lead == 0xF0 && text[1] < 0x90);
  bool beyond = (lead == 0xED && text[1] > 0x9F) || (lead == 0xF4 && text[1] > 0x8F);
  return overlong || beyond ? 0 : count;
}

static bool lrd_is_utf8(const uint8_t *text, size_t count) {
  for (size_t at = 0; at < count;) {
    size_t width = lrd_character(text + at, count - at);
    if (width == 0) return false;
    at += width;
  }
  return true;
}

/* A text in place, and its bytes. */
static const uint8_t *lrd_text_bytes(lrd_reader *reader, size_t *count) {
  *count = lrd_u16(reader);
  const uint8_t *text = lrd_take(reader, *count);
  if (text == NULL) *count = 0;
  if (text == NULL || lrd_is_utf8(text, *count)) return text;
  lrd_reader_fail(reader, LARDER_PROTOCOL_VIOLATION, "a text of an answer is not UTF-8");
  *count = 0;
  return NULL;
}

/* A text that ends with a zero: it is moved over its own length, which leaves room for that. */
static const char *lrd_text(lrd_reader *reader) {
  size_t count;
  uint8_t *start = reader->at;
  const uint8_t *text = lrd_text_bytes(reader, &count);
  if (text == NULL) return "";
  memmove(start, text, count);
  start[count] = 0;
  return (const char *)start;
}

/* Room for a list of at most `most` entries, each at least `wire` bytes of the body and `size` bytes of memory. */
static void *lrd_list(lrd_reader *reader, uint32_t most, size_t wire, size_t size, uint32_t *count) {
  uint32_t entries = lrd_u32(reader);
  *count = 0;
  if (entries > most || entries > lrd_left(reader) / wire) {
    lrd_reader_fail(reader, LARDER_PROTOCOL_VIOLATION, "a list of an answer is longer than its limit or its bytes");
    return NULL;
  }
  void *list = lrd_allocate(reader->answer, entries, size);
  if (list == NULL) lrd_reader_fail(reader, LARDER_OUT_OF_MEMORY, "memory for an answer is out");
  if (list != NULL) *count = entries;
  return list;
}

static lrd_reader lrd_read(uint8_t *body, size_t count) {
  lrd_reader reader;
  memset(&reader, 0, sizeof reader);
  reader.at = body;
  reader.end = body + count;
  reader.reason = "";
  return reader;
}

/* Ends the reading of a body: nothing may be left. */
static larder_status lrd_end(lrd_reader *reader, const char **reason) {
  if (lrd_left(reader) > 0) lrd_reader_fail(reader, LARDER_PROTOCOL_VIOLATION, "an answer has bytes left over");
  *reason = reader->reason;
  return reader->fault;
}

/* Begins an answer of `size` bytes that is to be the caller's, and that holds a copy of its body. */
static void *lrd_open_answer(lrd_reader *reader, const uint8_t *body, size_t count, size_t size) {
  uint8_t *answer = (uint8_t *)lrd_allocate(NULL, 1, size);
  lrd_block *first = answer == NULL ? NULL : (lrd_block *)(void *)answer - 1;
  uint8_t *copy = first == NULL ? NULL : (uint8_t *)lrd_allocate(first, count + 1, 1);
  if (copy != NULL) {
    if (count > 0) memcpy(copy, body, count);
    *reader = lrd_read(copy, count);
    reader->answer = first;
    return answer;
  }
  lrd_free_chain(first);
  *reader = lrd_read(NULL, 0);
  lrd_reader_fail(reader, LARDER_OUT_OF_MEMORY, "memory for an answer is out");
  return NULL;
}

/* Ends it: NULL, its memory freed, if it has a fault. */
static void *lrd_close_answer(lrd_reader *reader, void *answer, larder_status *status, const char **reason) {
  *status = lrd_end(reader, reason);
  if (*status == LARDER_OK) return answer;
  larder_free(answer);
  return NULL;
}

void larder_free(void *answer) {
  if (answer != NULL) lrd_free_chain((lrd_block *)answer - 1);
}

/* ---- Requests ---------------------------------------------------------------------------------------------------- */

static void lrd_encode_hello(lrd_writer *writer, unsigned oldest, unsigned newest, uint64_t features,
                             const char *name) {
  lrd_put(writer, "LRDR", 4);
  lrd_put_u16(writer, oldest);
  lrd_put_u16(writer, newest);
  lrd_put_u64(writer, features);
  lrd_put_text(writer, name);
}

static void lrd_encode_model(lrd_writer *writer, const larder_model *model) {
  lrd_put_text(writer, model->name);
  lrd_put_text(writer, model->revision);
  lrd_put_text(writer, model->weights);
  lrd_put_u32(writer, model->page_tokens);
  lrd_put_u32(writer, model->group_size);
  lrd_put_u32(writer, model->rank);
  lrd_put_u16(writer, model->component_count);
  if (model->component_count > 0 && model->components == NULL)
    lrd_writer_fail(writer, LARDER_INVALID_ARGUMENT, "the model's components are NULL");
  for (uint16_t i = 0; writer->fault == LARDER_OK && i < model->component_count; i++) {
    const larder_component *component = &model->components[i];
    lrd_put_text(writer, component->name);
    lrd_put_u8(writer, (unsigned)component->kind);
    lrd_put_u8(writer, (unsigned)component->element_type);
    lrd_put_u32(writer, component->layers);
    lrd_put_u32(writer, component->planes);
    lrd_put_u32(writer, component->row_bytes);
    lrd_put_u32(writer, component->window);
  }
}

static void lrd_encode_open_session(lrd_writer *writer, const char *namespace_name, const char *name,
                                    uint32_t model_id, bool create) {
  lrd_put_text(writer, namespace_name);
  lrd_put_text(writer, name);
  lrd_put_u32(writer, model_id);
  lrd_put_u8(writer, create ? 1 : 0);
}

/* Where an item's bytes are: in the frame, or in an arena of the connection. */
typedef struct lrd_place {
  bool in_arena;
  uint32_t arena;
  uint64_t offset;
  uint64_t bytes;
} lrd_place;

static void lrd_encode_put_head(lrd_writer *writer, larder_acknowledgement acknowledgement, larder_encoding encoding,
                                uint32_t count) {
  lrd_put_u8(writer, (unsigned)acknowledgement);
  lrd_put_u8(writer, (unsigned)encoding);
  lrd_put_u32(writer, count);
}

static void lrd_encode_put_item(lrd_writer *writer, const larder_page_out *item, const lrd_place *place) {
  lrd_put_chunk(writer, &item->chunk);
  lrd_put_u32(writer, item->tokens);
  lrd_put_u8(writer, place->in_arena ? 1 : 0);
  lrd_put_u64(writer, place->bytes);
  if (place->in_arena) {
    lrd_put_u32(writer, place->arena);
    lrd_put_u64(writer, place->offset);
  }
  lrd_put_u8(writer, item->prefix_key == NULL ? 0 : item->bytes != NULL ? 1 : 2);
  if (item->prefix_key != NULL) lrd_put(writer, item->prefix_key->bytes, sizeof item->prefix_key->bytes);
}

static void lrd_encode_get_item(lrd_writer *writer, const larder_page_in *item) {
  lrd_put_chunk(writer, &item->chunk);
  lrd_put_u32(writer, item->first_layer);
  lrd_put_u32(writer, item->layers);
}

static void lrd_encode_get_into_item(lrd_writer *writer, const larder_page_in *item, const lrd_place *place) {
  lrd_encode_get_item(writer, item);
  lrd_put_u32(writer, place->arena);
  lrd_put_u64(writer, place->offset);
  lrd_put_u64(writer, place->bytes);
}

static void lrd_encode_plan_snapshots(lrd_writer *writer, uint64_t session, uint64_t length, uint64_t resumed_at,
                                      uint32_t boundary, uint32_t stride, uint32_t budget) {
  lrd_put_u64(writer, session);
  lrd_put_u64(writer, length);
  lrd_put_u64(writer, resumed_at);
  lrd_put_u32(writer, boundary);
  lrd_put_u32(writer, stride);
  lrd_put_u32(writer, budget);
}

static void lrd_encode_match(lrd_writer *writer, const char *namespace_name, uint32_t model_id, uint16_t component,
                             const larder_key *keys, size_t key_count) {
  lrd_put_text(writer, namespace_name);
  lrd_put_u32(writer, model_id);
  lrd_put_u16(writer, component);
  lrd_put_keys(writer, keys, key_count);
}

static void lrd_encode_hint(lrd_writer *writer, const larder_hint *hint) {
  lrd_put_u8(writer, (unsigned)hint->kind);
  lrd_put_u8(writer, (uint8_t)hint->priority);
  lrd_put_u32(writer, hint->seconds);
  lrd_put_u8(writer, (unsigned)hint->target);
  if (hint->target == LARDER_TARGET_KEYS) {
    lrd_encode_match(writer, hint->namespace_name, hint->model_id, hint->component, hint->keys, hint->key_count);
    return;
  }
  lrd_put_u64(writer, hint->session);
  lrd_put_u64(writer, hint->from);
  lrd_put_u64(writer, hint->to);
  if (hint->target != LARDER_TARGET_TRACK) return;
  lrd_put_u16(writer, hint->rank);
  lrd_put_u16(writer, hint->component);
  lrd_put_keys(writer, hint->keys, hint->key_count);
}

static void lrd_encode_configure_namespace(lrd_writer *writer, const char *name, const larder_policy_change *change) {
  lrd_put_text(writer, name);
  if (change == NULL) {
    lrd_put_u16(writer, 0);
    return;
  }
  lrd_put_u16(writer, change->fields);
  if (change->fields & LARDER_SET_SHARING) lrd_put_u8(writer, (unsigned)change->sharing);
  if (change->fields & LARDER_SET_SALT) {
    if (change->salt_bytes > LARDER_SALT_BYTES)
      lrd_writer_fail(writer, LARDER_INVALID_ARGUMENT, "the salt is longer than 32 bytes");
    lrd_put_u8(writer, change->salt_bytes);
    lrd_put(writer, change->salt, change->salt_bytes);
  }
  if (change->fields & LARDER_SET_TTL) lrd_put_u32(writer, change->ttl_seconds);
  if (change->fields & LARDER_SET_MIN_BYTES) lrd_put_u64(writer, change->min_bytes);
  if (change->fields & LARDER_SET_MAX_BYTES) lrd_put_u64(writer, change->max_bytes);
  if (change->fields & LARDER_SET_MAX_SESSIONS) lrd_put_u32(writer, change->max_sessions);
  if (change->fields & LARDER_SET_ADMISSION) lrd_put_u8(writer, (unsigned)change->admission);
}

static void lrd_encode_report(lrd_writer *writer, const larder_report_request *request) {
  lrd_put_u64(writer, request->session);
  lrd_put_u64(writer, request->from);
  lrd_put_u64(writer, request->to);
  lrd_put_text(writer, request->namespace_name == NULL ? "" : request->namespace_name);
  lrd_put_u32(writer, request->model_id);
  lrd_put_u64(writer, request->after);
}

/* ---- Answers ----------------------------------------------------------------------------------------------------- */

/* Decoders read a whole body. Those without lists fill in what they are given; the others hand out an answer of the
 * caller's, or NULL. Lengths and counts are checked before they are used; a fault is named in *reason. */

static larder_status lrd_decode_nothing(uint8_t *body, size_t count, const char **reason) {
  lrd_reader reader = lrd_read(body, count);
  return lrd_end(&reader, reason);
}

static larder_status lrd_decode_u32(uint8_t *body, size_t count, uint32_t *value, const char **reason) {
  lrd_reader reader = lrd_read(body, count);
  *value = lrd_u32(&reader);
  return lrd_end(&reader, reason);
}

static larder_status lrd_decode_hello(uint8_t *body, size_t count, larder_limits *limits, const char **reason) {
  lrd_reader reader = lrd_read(body, count);
  memset(limits, 0, sizeof *limits);
  limits->version = lrd_u16(&reader);
  limits->features = lrd_u64(&reader);
  limits->frame_bytes = lrd_u32(&reader);
  limits->batch_items = lrd_u32(&reader);
  limits->requests_in_flight = lrd_u32(&reader);
  uint64_t high = lrd_u64(&reader), low = lrd_u64(&reader);
  snprintf(limits->store_id, sizeof limits->store_id, "%016llx%016llx", (unsigned long long)high,
           (unsigned long long)low);
  size_t length;
  const uint8_t *name = lrd_text_bytes(&reader, &length);
  if (length >= sizeof limits->server_name)
    lrd_reader_fail(&reader, LARDER_PROTOCOL_VIOLATION, "the daemon's name is longer than 255 bytes");
  else if (name != NULL)
    memcpy(limits->server_name, name, length);
  return lrd_end(&reader, reason);
}

static larder_status lrd_decode_declared(uint8_t *body, size_t count, larder_declared *declared,
                                         const char **reason) {
  lrd_reader reader = lrd_read(body, count);
  memset(declared, 0, sizeof *declared);
  declared->model_id = lrd_u32(&reader);
  lrd_hash(&reader, &declared->fingerprint);
  return lrd_end(&reader, reason);
}

static larder_status lrd_decode_session(uint8_t *body, size_t count, larder_session *session, const char **reason) {
  lrd_reader reader = lrd_read(body, count);
  session->id = lrd_u64(&reader);
  session->created = lrd_flag(&reader);
  return lrd_end(&reader, reason);
}

static larder_status lrd_decode_two(uint8_t *body, size_t count, uint64_t values[2], const char **reason) {
  lrd_reader reader = lrd_read(body, count);
  values[0] = lrd_u64(&reader);
  values[1] = lrd_u64(&reader);
  return lrd_end(&reader, reason);
}

/* A code of the daemon as a status: one that is not known counts as a fault of the daemon. */
static larder_status lrd_status(uint16_t code) {
  return code >= LARDER_MALFORMED && code <= LARDER_DECLINED ? (larder_status)code : LARDER_INTERNAL;
}

/* A refusal of a whole request. */
typedef struct lrd_refusal {
  larder_status status;
  uint32_t item; /* UINT32_MAX if it is about the request */
  char message[LARDER_MESSAGE_BYTES + 1];
} lrd_refusal;

static larder_status lrd_decode_refusal(uint8_t *body, size_t count, lrd_refusal *refusal, const char **reason) {
  lrd_reader reader = lrd_read(body, count);
  memset(refusal, 0, sizeof *refusal);
  refusal->status = lrd_status(lrd_u16(&reader));
  refusal->item = lrd_u32(&reader);
  size_t length;
  const uint8_t *text = lrd_text_bytes(&reader, &length);
  if (length > LARDER_MESSAGE_BYTES)
    lrd_reader_fail(&reader, LARDER_PROTOCOL_VIOLATION, "a message is longer than 1,024 bytes");
  else if (length > 0)
    memcpy(refusal->message, text, length);
  return lrd_end(&reader, reason);
}

/* The error of an item; its message is kept. */
static larder_status lrd_item_error(lrd_reader *reader, lrd_keeper *keeper, const char **message) {
  uint16_t code = lrd_u16(reader);
  *message = "";
  if (code == 0) return LARDER_OK;
  size_t length;
  const uint8_t *text = lrd_text_bytes(reader, &length);
  if (length > LARDER_MESSAGE_BYTES)
    lrd_reader_fail(reader, LARDER_PROTOCOL_VIOLATION, "a message is longer than 1,024 bytes");
  else
    *message = lrd_keep(keeper, text, length);
  return lrd_status(code);
}

/* The count of results, which must be that of the items. */
static void lrd_results(lrd_reader *reader, size_t expected) {
  if (lrd_u32(reader) != expected)
    lrd_reader_fail(reader, LARDER_PROTOCOL_VIOLATION, "an answer has not one result an item");
}

static larder_status lrd_decode_put(uint8_t *body, size_t count, larder_result *results, size_t items,
                                    lrd_keeper *keeper, const char **reason) {
  lrd_reader reader = lrd_read(body, count);
  lrd_results(&reader, items);
  for (size_t i = 0; i < items && reader.fault == LARDER_OK; i++) {
    results[i].status = lrd_item_error(&reader, keeper, &results[i].message);
    results[i].tokens = 0;
    results[i].bytes = lrd_u64(&reader);
  }
  return lrd_end(&reader, reason);
}

/* A result of a get or get_into. */
typedef struct lrd_served {
  larder_result result;
  lrd_place place;
  const uint8_t *payload; /* in the body; NULL if it is in an arena, or the item failed */
} lrd_served;

static larder_status lrd_decode_get(uint8_t *body, size_t count, lrd_served *served, size_t items, lrd_keeper *keeper,
                                    const char **reason) {
  lrd_reader reader = lrd_read(body, count);
  lrd_results(&reader, items);
  for (size_t i = 0; i < items && reader.fault == LARDER_OK; i++) {
    lrd_served *item = &served[i];
    memset(item, 0, sizeof *item);
    item->result.status = lrd_item_error(&reader, keeper, &item->result.message);
    item->result.tokens = lrd_u32(&reader);
    item->place.in_arena = lrd_flag(&reader);
    item->place.bytes = lrd_u64(&reader);
    item->result.bytes = item->place.bytes;
    if (item->place.in_arena) item->place.arena = lrd_u32(&reader);
    if (item->place.in_arena) item->place.offset = lrd_u64(&reader);
    if (item->result.status != LARDER_OK && (item->place.in_arena || item->place.bytes != 0))
      lrd_reader_fail(&reader, LARDER_PROTOCOL_VIOLATION, "an item that failed has bytes");
  }
  for (size_t i = 0; i < items && reader.fault == LARDER_OK; i++) {
    lrd_served *item = &served[i];
    if (item->result.status != LARDER_OK || item->place.in_arena) continue;
    if (item->place.bytes > lrd_left(&reader))
      lrd_reader_fail(&reader, LARDER_PROTOCOL_VIOLATION, "a payload reaches beyond its frame");
    else
      item->payload = lrd_take(&reader, (size_t)item->place.bytes);
  }
  return lrd_end(&reader, reason);
}

static void lrd_read_summary(lrd_reader *reader, larder_chunk_summary *summary) {
  summary->chunk = lrd_chunk(reader);
  summary->tokens = lrd_u32(reader);
  summary->raw_bytes = lrd_u64(reader);
  summary->stored_bytes = lrd_u64(reader);
  summary->encoding = (larder_encoding)lrd_value(reader, LARDER_RAW, LARDER_CASCADE);
  summary->created_seconds = lrd_u64(reader);
}

static larder_chunk_summary *lrd_summaries(lrd_reader *reader, uint32_t most, uint32_t *count) {
  larder_chunk_summary *list = (larder_chunk_summary *)lrd_list(reader, most, 49, sizeof *list, count);
  for (uint32_t i = 0; i < *count && reader->fault == LARDER_OK; i++) lrd_read_summary(reader, &list[i]);
  return list;
}

static larder_status lrd_decode_resume(uint8_t *body, size_t count, larder_resume_plan **out, const char **reason) {
  larder_status status;
  lrd_reader reader;
  larder_resume_plan *plan = (larder_resume_plan *)lrd_open_answer(&reader, body, count, sizeof *plan);
  if (plan != NULL) {
    plan->offset = lrd_u64(&reader);
    plan->complete = lrd_flag(&reader);
    plan->raw_bytes = lrd_u64(&reader);
    plan->load_us = lrd_u64(&reader);
    plan->cheapest_offset = lrd_u64(&reader);
    plan->prefill_rate = lrd_u32(&reader);
    plan->reaches =
        (larder_reach *)lrd_list(&reader, LARDER_TRACKS, 12, sizeof *plan->reaches, &plan->reach_count);
    for (uint32_t i = 0; i < plan->reach_count; i++) {
      plan->reaches[i].rank = lrd_u16(&reader);
      plan->reaches[i].component = lrd_u16(&reader);
      plan->reaches[i].offset = lrd_u64(&reader);
    }
    plan->chunks = lrd_summaries(&reader, LARDER_RESUME_CHUNKS, &plan->chunk_count);
  }
  *out = (larder_resume_plan *)lrd_close_answer(&reader, plan, &status, reason);
  return status;
}

static larder_status lrd_decode_snapshots(uint8_t *body, size_t count, larder_snapshot_plan **out,
                                          const char **reason) {
  larder_status status;
  lrd_reader reader;
  larder_snapshot_plan *plan = (larder_snapshot_plan *)lrd_open_answer(&reader, body, count, sizeof *plan);
  if (plan != NULL) {
    plan->offsets = (uint64_t *)lrd_list(&reader, LARDER_SNAPSHOTS, 8, sizeof *plan->offsets, &plan->count);
    for (uint32_t i = 0; i < plan->count; i++) plan->offsets[i] = lrd_u64(&reader);
  }
  *out = (larder_snapshot_plan *)lrd_close_answer(&reader, plan, &status, reason);
  return status;
}

static void lrd_read_track(lrd_reader *reader, larder_track *track) {
  track->rank = lrd_u16(reader);
  track->component = lrd_u16(reader);
  track->reach = lrd_u64(reader);
  track->cause = (larder_cause)lrd_value(reader, LARDER_CAUSE_NONE, LARDER_RECORD_DAMAGED);
  track->missing_from = lrd_u64(reader);
  track->missing_to = lrd_u64(reader);
  track->rule = (larder_rule)lrd_value(reader, LARDER_RULE_NONE, LARDER_RULE_QUOTA);
  track->evicted_seconds = lrd_u64(reader);
}

static larder_status lrd_decode_explain(uint8_t *body, size_t count, larder_explanation **out, const char **reason) {
  larder_status status;
  lrd_reader reader;
  larder_explanation *answer = (larder_explanation *)lrd_open_answer(&reader, body, count, sizeof *answer);
  if (answer != NULL) {
    answer->at = lrd_u64(&reader);
    answer->end = lrd_u64(&reader);
    answer->offset = lrd_u64(&reader);
    answer->missing_ranks = (uint16_t *)lrd_list(&reader, LARDER_GROUP_SIZE, 2, sizeof *answer->missing_ranks,
                                                 &answer->missing_rank_count);
    for (uint32_t i = 0; i < answer->missing_rank_count; i++) answer->missing_ranks[i] = lrd_u16(&reader);
    answer->model_difference = lrd_text(&reader);
    answer->tracks = (larder_track *)lrd_list(&reader, LARDER_TRACKS, 38, sizeof *answer->tracks,
                                              &answer->track_count);
    for (uint32_t i = 0; i < answer->track_count && reader.fault == LARDER_OK; i++)
      lrd_read_track(&reader, &answer->tracks[i]);
  }
  *out = (larder_explanation *)lrd_close_answer(&reader, answer, &status, reason);
  return status;
}

static larder_status lrd_decode_hints(uint8_t *body, size_t count, larder_hint_result *results, size_t hints,
                                      lrd_keeper *keeper, const char **reason) {
  lrd_reader reader = lrd_read(body, count);
  lrd_results(&reader, hints);
  for (size_t i = 0; i < hints && reader.fault == LARDER_OK; i++) {
    results[i].outcome = (larder_outcome)lrd_value(&reader, LARDER_HINT_ACCEPTED, LARDER_HINT_MISSING);
    results[i].bound = (larder_bound)lrd_value(&reader, LARDER_BOUND_NONE, LARDER_BOUND_ARGUMENT);
    results[i].from = lrd_u64(&reader);
    results[i].to = lrd_u64(&reader);
    results[i].seconds = lrd_u32(&reader);
    size_t length;
    const uint8_t *text = lrd_text_bytes(&reader, &length);
    results[i].reason = lrd_keep(keeper, text, length);
  }
  return lrd_end(&reader, reason);
}

static larder_policy lrd_policy(lrd_reader *reader) {
  larder_policy policy;
  policy.sharing = (larder_sharing)lrd_value(reader, LARDER_SHARED, LARDER_SHARING_OFF);
  policy.has_salt = lrd_flag(reader);
  policy.ttl_seconds = lrd_u32(reader);
  policy.min_bytes = lrd_u64(reader);
  policy.max_bytes = lrd_u64(reader);
  policy.max_sessions = lrd_u32(reader);
  policy.admission = (larder_admission)lrd_value(reader, LARDER_EVERYTHING, LARDER_SECOND_TOUCH);
  return policy;
}

static larder_status lrd_decode_policy(uint8_t *body, size_t count, larder_policy *policy, const char **reason) {
  lrd_reader reader = lrd_read(body, count);
  *policy = lrd_policy(&reader);
  return lrd_end(&reader, reason);
}

static void lrd_read_component(lrd_reader *reader, larder_component *component) {
  component->name = lrd_text(reader);
  component->kind = (larder_component_kind)lrd_value(reader, LARDER_ATTENTION, LARDER_RECURRENT);
  component->element_type = (larder_element_type)lrd_value(reader, LARDER_BF16, LARDER_BYTES);
  component->layers = lrd_u32(reader);
  component->planes = lrd_u32(reader);
  component->row_bytes = lrd_u32(reader);
  component->window = lrd_u32(reader);
}

static void lrd_read_model(lrd_reader *reader, larder_model *model) {
  model->name = lrd_text(reader);
  model->revision = lrd_text(reader);
  model->weights = lrd_text(reader);
  model->page_tokens = lrd_u32(reader);
  model->group_size = lrd_u32(reader);
  model->rank = lrd_u32(reader);
  uint16_t count = lrd_u16(reader);
  if (count > LARDER_COMPONENTS || count > lrd_left(reader) / 20) {
    lrd_reader_fail(reader, LARDER_PROTOCOL_VIOLATION, "a model has too many components");
    return;
  }
  larder_component *list = (larder_component *)lrd_allocate(reader->answer, count, sizeof *list);
  if (list == NULL) {
    lrd_reader_fail(reader, LARDER_OUT_OF_MEMORY, "memory for an answer is out");
    return;
  }
  model->components = list;
  model->component_count = count;
  for (uint16_t i = 0; i < count && reader->fault == LARDER_OK; i++) lrd_read_component(reader, &list[i]);
}

static larder_status lrd_decode_models(uint8_t *body, size_t count, larder_model_page **out, const char **reason) {
  larder_status status;
  lrd_reader reader;
  larder_model_page *page = (larder_model_page *)lrd_open_answer(&reader, body, count, sizeof *page);
  if (page != NULL) {
    page->models = (larder_model_summary *)lrd_list(&reader, LARDER_PAGE_ENTRIES, 56, sizeof *page->models,
                                                    &page->count);
    for (uint32_t i = 0; i < page->count && reader.fault == LARDER_OK; i++) {
      page->models[i].declared.model_id = lrd_u32(&reader);
      lrd_hash(&reader, &page->models[i].declared.fingerprint);
      lrd_read_model(&reader, &page->models[i].model);
    }
  }
  *out = (larder_model_page *)lrd_close_answer(&reader, page, &status, reason);
  return status;
}

static larder_status lrd_decode_namespaces(uint8_t *body, size_t count, larder_namespace_page **out,
                                           const char **reason) {
  larder_status status;
  lrd_reader reader;
  larder_namespace_page *page = (larder_namespace_page *)lrd_open_answer(&reader, body, count, sizeof *page);
  if (page != NULL) {
    page->namespaces = (larder_namespace_summary *)lrd_list(&reader, LARDER_PAGE_ENTRIES, 45,
                                                            sizeof *page->namespaces, &page->count);
    for (uint32_t i = 0; i < page->count && reader.fault == LARDER_OK; i++) {
      page->namespaces[i].namespace_id = lrd_u32(&reader);
      page->namespaces[i].name = lrd_text(&reader);
      page->namespaces[i].owner_user_id = lrd_u32(&reader);
      page->namespaces[i].sessions = lrd_u64(&reader);
      page->namespaces[i].policy = lrd_policy(&reader);
    }
  }
  *out = (larder_namespace_page *)lrd_close_answer(&reader, page, &status, reason);
  return status;
}

static void lrd_read_session(lrd_reader *reader, larder_session_summary *session) {
  session->session = lrd_u64(reader);
  session->namespace_name = lrd_text(reader);
  session->name = lrd_text(reader);
  session->owner_user_id = lrd_u32(reader);
  session->models = (larder_session_model *)lrd_list(reader, LARDER_GROUP_SIZE, 6, sizeof *session->models,
                                                     &session->model_count);
  for (uint32_t i = 0; i < session->model_count; i++) {
    session->models[i].rank = lrd_u16(reader);
    session->models[i].model_id = lrd_u32(reader);
  }
  session->chunks = lrd_u64(reader);
  session->raw_bytes = lrd_u64(reader);
  session->stored_bytes = lrd_u64(reader);
  session->created_seconds = lrd_u64(reader);
  session->changed_seconds = lrd_u64(reader);
  session->ttl_seconds = lrd_u32(reader);
}

static larder_status lrd_decode_sessions(uint8_t *body, size_t count, larder_session_page **out,
                                         const char **reason) {
  larder_status status;
  lrd_reader reader;
  larder_session_page *page = (larder_session_page *)lrd_open_answer(&reader, body, count, sizeof *page);
  if (page != NULL) {
    page->next = lrd_u64(&reader);
    page->sessions = (larder_session_summary *)lrd_list(&reader, LARDER_PAGE_ENTRIES, 64, sizeof *page->sessions,
                                                        &page->count);
    for (uint32_t i = 0; i < page->count && reader.fault == LARDER_OK; i++)
      lrd_read_session(&reader, &page->sessions[i]);
  }
  *out = (larder_session_page *)lrd_close_answer(&reader, page, &status, reason);
  return status;
}

static larder_status lrd_decode_chunks(uint8_t *body, size_t count, larder_chunk_page **out, const char **reason) {
  larder_status status;
  lrd_reader reader;
  larder_chunk_page *page = (larder_chunk_page *)lrd_open_answer(&reader, body, count, sizeof *page);
  if (page != NULL) page->chunks = lrd_summaries(&reader, LARDER_PAGE_ENTRIES, &page->count);
  *out = (larder_chunk_page *)lrd_close_answer(&reader, page, &status, reason);
  return status;
}

static larder_status lrd_decode_stat(uint8_t *body, size_t count, larder_statistics **out, const char **reason) {
  larder_status status;
  lrd_reader reader;
  larder_statistics *answer = (larder_statistics *)lrd_open_answer(&reader, body, count, sizeof *answer);
  if (answer != NULL) {
    answer->facts = (larder_fact *)lrd_list(&reader, LARDER_PAGE_ENTRIES, 4, sizeof *answer->facts,
                                            &answer->fact_count);
    for (uint32_t i = 0; i < answer->fact_count; i++) {
      answer->facts[i].name = lrd_text(&reader);
      answer->facts[i].value = lrd_text(&reader);
    }
    answer->counters = (larder_counter *)lrd_list(&reader, LARDER_PAGE_ENTRIES, 10, sizeof *answer->counters,
                                                  &answer->counter_count);
    for (uint32_t i = 0; i < answer->counter_count; i++) {
      answer->counters[i].name = lrd_text(&reader);
      answer->counters[i].value = lrd_u64(&reader);
    }
  }
  *out = (larder_statistics *)lrd_close_answer(&reader, answer, &status, reason);
  return status;
}

static larder_status lrd_decode_verify(uint8_t *body, size_t count, larder_verification **out, const char **reason) {
  larder_status status;
  lrd_reader reader;
  larder_verification *answer = (larder_verification *)lrd_open_answer(&reader, body, count, sizeof *answer);
  if (answer != NULL) {
    answer->checked = lrd_u64(&reader);
    answer->raw_bytes = lrd_u64(&reader);
    answer->damaged = (larder_damage *)lrd_list(&reader, LARDER_PAGE_ENTRIES, 22, sizeof *answer->damaged,
                                                &answer->damaged_count);
    for (uint32_t i = 0; i < answer->damaged_count; i++) {
      answer->damaged[i].chunk = lrd_chunk(&reader);
      answer->damaged[i].reason = lrd_text(&reader);
    }
    answer->more = lrd_flag(&reader);
    if (answer->more) answer->next = lrd_chunk(&reader);
  }
  *out = (larder_verification *)lrd_close_answer(&reader, answer, &status, reason);
  return status;
}

static void lrd_read_row(lrd_reader *reader, larder_report_row *row) {
  row->namespace_name = lrd_text(reader);
  row->model_id = lrd_u32(reader);
  row->stored_tokens = lrd_u64(reader);
  row->restored_tokens = lrd_u64(reader);
  row->not_recomputed_tokens = lrd_u64(reader);
  row->page_out_raw_bytes = lrd_u64(reader);
  row->page_out_stored_bytes = lrd_u64(reader);
  row->page_in_raw_bytes = lrd_u64(reader);
  row->page_in_stored_bytes = lrd_u64(reader);
  row->prefill_rate = lrd_u32(reader);
  row->rate_origin = (larder_rate_origin)lrd_value(reader, LARDER_RATE_NONE, LARDER_RATE_LEARNED);
  row->prefill_avoided_ms = lrd_u64(reader);
}

static larder_status lrd_decode_report(uint8_t *body, size_t count, larder_report_page **out, const char **reason) {
  larder_status status;
  lrd_reader reader;
  larder_report_page *page = (larder_report_page *)lrd_open_answer(&reader, body, count, sizeof *page);
  if (page != NULL) {
    page->from = lrd_u64(&reader);
    page->to = lrd_u64(&reader);
    page->gpu_hour_price = lrd_u64(&reader);
    page->next = lrd_u64(&reader);
    page->rows = (larder_report_row *)lrd_list(&reader, LARDER_PAGE_ENTRIES, 75, sizeof *page->rows, &page->count);
    for (uint32_t i = 0; i < page->count && reader.fault == LARDER_OK; i++) lrd_read_row(&reader, &page->rows[i]);
  }
  *out = (larder_report_page *)lrd_close_answer(&reader, page, &status, reason);
  return status;
}

/* ---- Connection -------------------------------------------------------------------------------------------------- */

struct larder_arena {
  larder_client *client;
  uint32_t number;
  uint8_t *bytes;
  size_t size;
  bool is_mapped; /* by the client */
};

struct larder_client {
  int socket; /* -1: unusable */
  pid_t process;
  uint32_t timeout_ms;
  bool is_calling; /* to notice calls from within a progress function */
  uint64_t next_id;
  larder_limits limits;
  char message[LARDER_MESSAGE_BYTES];
  lrd_keeper keeper;
  lrd_writer out;
  uint8_t *input; /* what was received: from input_start up to input_end */
  size_t input_start, input_end, input_capacity;
  int descriptor;        /* that came with bytes of the input; -1 for none */
  unsigned descriptors;  /* how many came since the last call began */
  larder_arena *arenas[LARDER_ARENAS + 1];
  size_t arena_count;
  larder_arena *stage;   /* for memory that is in no arena */
  bool is_stage_refused;
};

/* A received frame; its body lies in the input, until the next one is received. */
typedef struct lrd_frame {
  uint16_t type;
  uint64_t id;
  uint8_t *body;
  size_t count;
} lrd_frame;

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static larder_status lrd_fail(larder_client *client, larder_status status, const char *format, ...) {
  char message[sizeof client->message]; /* an argument may be the client's message */
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  memcpy(client->message, message, sizeof message);
  return status;
}

/* Fails, and closes the connection: nothing more can be made of what would come. */
#define lrd_lose(client, status, ...) (lrd_disconnect(client), lrd_fail(client, status, __VA_ARGS__))

static void lrd_disconnect(larder_client *client) {
  if (client->socket >= 0) close(client->socket);
  if (client->descriptor >= 0) close(client->descriptor);
  client->socket = -1;
  client->descriptor = -1;
}

static larder_status lrd_violation(larder_client *client, const char *what) {
  return lrd_lose(client, LARDER_PROTOCOL_VIOLATION, "the daemon does not keep to the protocol: %s; connect anew",
                  what);
}

static uint64_t lrd_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t lrd_deadline(const larder_client *client) { return lrd_now_ms() + client->timeout_ms; }

/* Waits until the socket is ready for one of `events`. Returns those that are, or 0 and a status. */
static short lrd_wait(larder_client *client, short events, uint64_t deadline, larder_status *status) {
  for (;;) {
    uint64_t now = lrd_now_ms();
    struct pollfd entry;
    entry.fd = client->socket;
    entry.events = events;
    entry.revents = 0;
    int ready = now >= deadline ? 0 : poll(&entry, 1, (int)(deadline - now));
    if (ready > 0) return entry.revents;
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0)
      *status = lrd_lose(client, LARDER_CONNECTION_LOST, "poll failed: %s; connect anew", strerror(errno));
    else
      *status = lrd_lose(client, LARDER_TIMED_OUT, "the daemon did not answer within %lu ms; connect anew, with a "
                         "longer timeout if it is only busy", (unsigned long)client->timeout_ms);
    return 0;
  }
}

/* Makes room for `count` further bytes of input. False if memory is out. */
static bool lrd_make_room(larder_client *client, size_t count) {
  if (count <= client->input_capacity - client->input_end) return true;
  size_t held = client->input_end - client->input_start;
  if (client->input_start > 0 && held > 0) memmove(client->input, client->input + client->input_start, held);
  client->input_start = 0;
  client->input_end = held;
  if (count <= client->input_capacity - held) return true;
  size_t capacity = held + count;
  uint8_t *grown = (uint8_t *)realloc(client->input, capacity);
  if (grown == NULL) return false;
  client->input = grown;
  client->input_capacity = capacity;
  return true;
}

/* Takes up the descriptors that came with bytes: the first one waits for who asked for it. */
static void lrd_take_descriptors(larder_client *client, struct msghdr *message) {
  for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL; control = CMSG_NXTHDR(message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    size_t count = ((size_t)control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(control) + i * sizeof(int), sizeof descriptor);
      client->descriptors++;
      if (client->descriptor < 0)
        client->descriptor = descriptor;
      else
        close(descriptor);
    }
  }
}

/* Receives what is there, without a wait. Returns bytes, 0 at the end, or -1 and errno. */
static ssize_t lrd_receive_some(larder_client *client) {
  union {
    struct cmsghdr aligned;
    uint8_t bytes[CMSG_SPACE(LRD_DESCRIPTORS * sizeof(int))];
  } control;
  struct iovec part;
  struct msghdr message;
  memset(&message, 0, sizeof message);
  part.iov_base = client->input + client->input_end;
  part.iov_len = client->input_capacity - client->input_end;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t received;
  do received = recvmsg(client->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (received < 0 && errno == EINTR);
  if (received < 0) return received;
  lrd_take_descriptors(client, &message);
  client->input_end += (size_t)received;
  return received;
}

/* Receives until `count` bytes of input are there. */
static larder_status lrd_fill(larder_client *client, size_t count, uint64_t deadline) {
  larder_status status = LARDER_OK;
  while (client->input_end - client->input_start < count) {
    size_t missing = count - (client->input_end - client->input_start);
    if (!lrd_make_room(client, missing > LRD_READ_BYTES ? missing : (size_t)LRD_READ_BYTES))
      return lrd_lose(client, LARDER_OUT_OF_MEMORY, "memory for an answer is out");
    ssize_t received = lrd_receive_some(client);
    if (received > 0) continue;
    if (received == 0)
      return lrd_lose(client, LARDER_CONNECTION_LOST, "the daemon closed the connection; connect anew");
    if (errno != EAGAIN && errno != EWOULDBLOCK)
      return lrd_lose(client, LARDER_CONNECTION_LOST, "the connection broke: %s; connect anew", strerror(errno));
    if (lrd_wait(client, POLLIN, deadline, &status) == 0) return status;
  }
  return LARDER_OK;
}

/* Receives the next frame. */
static larder_status lrd_receive(larder_client *client, lrd_frame *frame) {
  uint64_t deadline = lrd_deadline(client);
  larder_status status = lrd_fill(client, LRD_HEADER_BYTES, deadline);
  if (status != LARDER_OK) return status;
  lrd_reader reader = lrd_read(client->input + client->input_start, LRD_HEADER_BYTES);
  size_t most = client->limits.version == 0 ? LARDER_HANDSHAKE_BYTES : LARDER_FRAME_BYTES;
  frame->count = lrd_u32(&reader);
  frame->type = lrd_u16(&reader);
  if (lrd_u16(&reader) != 0) return lrd_violation(client, "a frame with flags");
  frame->id = lrd_u64(&reader);
  if (frame->count > most) return lrd_violation(client, "a frame that is longer than its limit");
  status = lrd_fill(client, LRD_HEADER_BYTES + frame->count, deadline);
  if (status != LARDER_OK) return status;
  frame->body = client->input + client->input_start + LRD_HEADER_BYTES;
  client->input_start += LRD_HEADER_BYTES + frame->count;
  return LARDER_OK;
}

/* The status that a refusal is, with its message. */
static larder_status lrd_refused(larder_client *client, const lrd_frame *frame) {
  lrd_refusal refusal;
  const char *reason;
  larder_status status = lrd_decode_refusal(frame->body, frame->count, &refusal, &reason);
  if (status != LARDER_OK) return lrd_violation(client, reason);
  const char *message = refusal.message[0] != 0 ? refusal.message : larder_status_name(refusal.status);
  /* What is refused under request 0 is the connection. */
  if (frame->id == 0) return lrd_lose(client, refusal.status, "%s", message);
  return lrd_fail(client, refusal.status, "%s", message);
}

/* After a send that failed: the daemon may have said why before it closed. */
static larder_status lrd_send_failed(larder_client *client, int fault) {
  lrd_frame frame;
  for (int i = 0; i <= LRD_WINDOW + LRD_PROGRESS_FRAMES; i++) {
    if (lrd_receive(client, &frame) != LARDER_OK) break;
    if (frame.type != LRD_REFUSAL_TYPE) continue;
    larder_status status = lrd_refused(client, &frame);
    lrd_disconnect(client);
    return status;
  }
  return lrd_lose(client, LARDER_CONNECTION_LOST, "the daemon closed the connection (%s); connect anew",
                  strerror(fault));
}

/* Waits until bytes can be sent. Receives meanwhile what is there: a daemon that cannot send does not read. */
static larder_status lrd_wait_to_send(larder_client *client, uint64_t deadline) {
  larder_status status = LARDER_OK;
  bool has_room = client->input_end - client->input_start < LARDER_FRAME_BYTES;
  short ready = lrd_wait(client, (short)(has_room ? POLLOUT | POLLIN : POLLOUT), deadline, &status);
  if (ready == 0) return status;
  if ((ready & POLLIN) == 0 || (ready & POLLOUT) != 0) return LARDER_OK;
  if (!lrd_make_room(client, LRD_READ_BYTES))
    return lrd_lose(client, LARDER_OUT_OF_MEMORY, "memory for an answer is out");
  ssize_t received = lrd_receive_some(client);
  if (received > 0 || (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))) return LARDER_OK;
  return lrd_send_failed(client, received == 0 ? EPIPE : errno);
}

/* Skips `sent` bytes of the parts. */
static void lrd_advance(struct iovec **parts, size_t *count, size_t sent) {
  while (*count > 0 && sent >= (*parts)->iov_len) {
    sent -= (*parts)->iov_len;
    ++*parts;
    --*count;
  }
  if (*count == 0) return;
  (*parts)->iov_base = (uint8_t *)(*parts)->iov_base + sent;
  (*parts)->iov_len -= sent;
}

/* Sends parts of a frame; `descriptor`, if not -1, goes with the first byte. */
static larder_status lrd_send(larder_client *client, struct iovec *parts, size_t count, int descriptor) {
  union {
    struct cmsghdr aligned;
    uint8_t bytes[CMSG_SPACE(sizeof(int))];
  } control;
  uint64_t deadline = lrd_deadline(client);
  lrd_advance(&parts, &count, 0);
  while (count > 0) {
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = parts;
    message.msg_iovlen = count;
    if (descriptor >= 0) {
      memset(&control, 0, sizeof control);
      message.msg_control = control.bytes;
      message.msg_controllen = sizeof control.bytes;
      control.aligned.cmsg_level = SOL_SOCKET;
      control.aligned.cmsg_type = SCM_RIGHTS;
      control.aligned.cmsg_len = CMSG_LEN(sizeof(int));
      memcpy(CMSG_DATA(&control.aligned), &descriptor, sizeof descriptor);
    }
    ssize_t sent = sendmsg(client->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      descriptor = -1;
      lrd_advance(&parts, &count, (size_t)sent);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      larder_status status = lrd_wait_to_send(client, deadline);
      if (status != LARDER_OK) return status;
    } else if (errno == EBADF && descriptor >= 0) {
      return lrd_fail(client, LARDER_INVALID_ARGUMENT, "%d is not an open descriptor", descriptor);
    } else if (errno != EINTR) {
      return lrd_send_failed(client, errno);
    }
  }
  return LARDER_OK;
}

/* Begins a call: is the connection usable? Forgets the texts of the call before. */
static larder_status lrd_ready(larder_client *client) {
  if (client == NULL) return LARDER_INVALID_ARGUMENT;
  if (client->process != getpid())
    return lrd_fail(client, LARDER_CONNECTION_LOST, "the connection belongs to process %ld; connect anew after fork",
                    (long)client->process);
  if (client->is_calling)
    return lrd_fail(client, LARDER_INVALID_ARGUMENT, "a progress function must not use its connection");
  if (client->socket < 0) {
    if (client->message[0] != 0) return LARDER_CONNECTION_LOST;
    return lrd_fail(client, LARDER_CONNECTION_LOST, "the connection is closed; connect anew");
  }
  lrd_forget(&client->keeper);
  client->message[0] = 0;
  client->descriptors = 0;
  if (client->descriptor >= 0) close(client->descriptor);
  client->descriptor = -1;
  if (client->input_capacity > LRD_IDLE_BYTES && client->input_start == client->input_end) {
    free(client->input);
    client->input = NULL;
    client->input_start = client->input_end = client->input_capacity = 0;
  }
  return LARDER_OK;
}

/* Begins a call with one request: its fields go to client->out. */
static larder_status lrd_begin(larder_client *client, unsigned type) {
  larder_status status = lrd_ready(client);
  if (status == LARDER_OK) lrd_start(&client->out, type, client->next_id++);
  return status;
}

/* Ends a request that was begun and sends it, with payloads if there are any. */
static larder_status lrd_send_request(larder_client *client, struct iovec *parts, size_t count, int descriptor) {
  uint64_t payload = 0;
  for (size_t i = 1; i < count; i++) payload += parts[i].iov_len;
  lrd_finish(&client->out, payload);
  if (client->out.fault != LARDER_OK) return lrd_fail(client, client->out.fault, "%s", client->out.reason);
  parts[0].iov_base = client->out.bytes;
  parts[0].iov_len = client->out.count;
  return lrd_send(client, parts, count, descriptor);
}

/* Sends the request that was begun, with a descriptor if it is not -1, and receives its answer. */
static larder_status lrd_ask_with(larder_client *client, int descriptor, lrd_frame *answer) {
  struct iovec part;
  uint64_t id = client->next_id - 1;
  larder_status status = lrd_send_request(client, &part, 1, descriptor);
  if (status == LARDER_OK) status = lrd_receive(client, answer);
  if (status != LARDER_OK) return status;
  if (answer->type == LRD_REFUSAL_TYPE && (answer->id == id || answer->id == 0)) return lrd_refused(client, answer);
  if (answer->id != id) return lrd_violation(client, "an answer to a request that was not sent");
  unsigned type = (unsigned)client->out.bytes[4] | (unsigned)client->out.bytes[5] << 8;
  if (answer->type != (type | LRD_ANSWER_BIT)) return lrd_violation(client, "an answer of another type");
  return LARDER_OK;
}

static larder_status lrd_ask(larder_client *client, lrd_frame *answer) { return lrd_ask_with(client, -1, answer); }

/* What decoding an answer came to. */
static larder_status lrd_decoded(larder_client *client, larder_status status, const char *reason) {
  if (status == LARDER_OK) return status;
  if (status == LARDER_PROTOCOL_VIOLATION) return lrd_violation(client, reason);
  return lrd_fail(client, status, "%s", reason);
}

/* Asks for an answer without content. */
static larder_status lrd_ask_nothing(larder_client *client) {
  lrd_frame answer;
  const char *reason;
  larder_status status = lrd_ask(client, &answer);
  if (status != LARDER_OK) return status;
  status = lrd_decode_nothing(answer.body, answer.count, &reason);
  return lrd_decoded(client, status, reason);
}

/* Asks, and returns from the calling function with what `decode(body, count, target, &reason)` comes to. */
#define LRD_ASK_AND_DECODE(client, decode, target)                                                \
  do {                                                                                            \
    lrd_frame lrd_answer;                                                                         \
    const char *lrd_reason;                                                                       \
    larder_status lrd_asked = lrd_ask(client, &lrd_answer);                                       \
    if (lrd_asked != LARDER_OK) return lrd_asked;                                                 \
    lrd_asked = decode(lrd_answer.body, lrd_answer.count, target, &lrd_reason);                   \
    return lrd_decoded(client, lrd_asked, lrd_reason);                                            \
  } while (0)

/* Connects within the timeout: a daemon whose queue is full is tried again. */
static larder_status lrd_dial(larder_client *client, const char *path) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  size_t length = strlen(path);
  if (length == 0 || length >= sizeof address.sun_path)
    return lrd_fail(client, LARDER_CONNECTION_FAILED, "a socket's path has 1 to %zu bytes, not %zu: choose another",
                    sizeof address.sun_path - 1, length);
  memcpy(address.sun_path, path, length);
  client->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (client->socket < 0)
    return lrd_fail(client, LARDER_CONNECTION_FAILED, "no socket could be made: %s", strerror(errno));
  for (uint64_t deadline = lrd_deadline(client);;) {
    if (connect(client->socket, (const struct sockaddr *)&address, sizeof address) == 0) return LARDER_OK;
    if (errno == EISCONN) return LARDER_OK; /* an interrupted try went through */
    if (errno == EINTR) continue;
    if (errno != EAGAIN || lrd_now_ms() >= deadline) break;
    poll(NULL, 0, LRD_RETRY_MS);
  }
  return lrd_lose(client, LARDER_CONNECTION_FAILED,
                  "no daemon at %s: %s; start larderd, or set LARDER_SOCKET to its socket", path, strerror(errno));
}

static larder_status lrd_shake_hands(larder_client *client, const char *name) {
  lrd_frame answer;
  larder_limits limits;
  const char *reason;
  larder_status status = lrd_begin(client, LRD_HELLO);
  if (status != LARDER_OK) return status;
  lrd_encode_hello(&client->out, 1, 1, 1, name);
  status = lrd_ask(client, &answer);
  if (status != LARDER_OK) return status;
  status = lrd_decode_hello(answer.body, answer.count, &limits, &reason);
  if (status != LARDER_OK) return lrd_violation(client, reason);
  if (limits.version != 1) return lrd_violation(client, "it chose a version that was not offered");
  if (limits.frame_bytes < LARDER_HANDSHAKE_BYTES || limits.batch_items == 0 || limits.requests_in_flight == 0)
    return lrd_violation(client, "its limits leave no room for requests");
  client->limits = limits;
  client->out.limit = limits.frame_bytes < LARDER_FRAME_BYTES ? limits.frame_bytes : LARDER_FRAME_BYTES;
  return LARDER_OK;
}

larder_status larder_connect(const char *path, const char *name, uint32_t timeout_ms, larder_client **client) {
  if (client == NULL) return LARDER_INVALID_ARGUMENT;
  const char *environment = getenv("LARDER_SOCKET");
  if (path == NULL && environment != NULL && environment[0] != 0) path = environment;
  if (path == NULL) path = "/run/larder/larder.sock";
  if (timeout_ms == 0) timeout_ms = LARDER_DEFAULT_TIMEOUT_MS;
  larder_client *made = (larder_client *)calloc(1, sizeof *made);
  *client = made;
  if (made == NULL) return LARDER_OUT_OF_MEMORY;
  made->socket = -1;
  made->descriptor = -1;
  made->process = getpid();
  made->timeout_ms = timeout_ms < LARDER_LONGEST_TIMEOUT_MS ? timeout_ms : LARDER_LONGEST_TIMEOUT_MS;
  made->next_id = 1;
  made->out.limit = LARDER_HANDSHAKE_BYTES;
  larder_status status = lrd_dial(made, path);
  if (status == LARDER_OK) status = lrd_shake_hands(made, name == NULL ? "c" : name);
  if (status != LARDER_OK) lrd_disconnect(made);
  return status;
}

static void lrd_release_arena(larder_arena *arena);

void larder_close(larder_client *client) {
  if (client == NULL) return;
  lrd_disconnect(client);
  while (client->arena_count > 0) lrd_release_arena(client->arenas[client->arena_count - 1]);
  lrd_forget(&client->keeper);
  free(client->out.bytes);
  free(client->input);
  free(client);
}

bool larder_is_usable(const larder_client *client) {
  return client != NULL && client->socket >= 0 && client->process == getpid();
}

const char *larder_message(const larder_client *client) {
  return client == NULL ? "no connection: memory for it is out, or NULL was given" : client->message;
}

const larder_limits *larder_limits_of(const larder_client *client) { return client == NULL ? NULL : &client->limits; }

bool larder_has_arenas(const larder_client *client) { return client != NULL && (client->limits.features & 1) != 0; }

/* ---- Arenas ------------------------------------------------------------------------------------------------------ */

/* Unmaps an arena and takes it off its connection's list. */
static void lrd_release_arena(larder_arena *arena) {
  larder_client *client = arena->client;
  for (size_t i = 0; i < client->arena_count; i++)
    if (client->arenas[i] == arena) {
      client->arenas[i] = client->arenas[--client->arena_count];
      break;
    }
  if (client->stage == arena) client->stage = NULL;
  if (arena->is_mapped) munmap(arena->bytes, arena->size);
  free(arena);
}

/* Puts an arena on its connection's list; NULL if memory is out, or the list full. */
static larder_arena *lrd_adopt_arena(larder_client *client, uint32_t number, void *bytes, size_t size, bool is_mapped) {
  if (client->arena_count == sizeof client->arenas / sizeof client->arenas[0]) return NULL;
  larder_arena *arena = (larder_arena *)calloc(1, sizeof *arena);
  if (arena == NULL) return NULL;
  arena->client = client;
  arena->number = number;
  arena->bytes = (uint8_t *)bytes;
  arena->size = size;
  arena->is_mapped = is_mapped;
  client->arenas[client->arena_count++] = arena;
  return arena;
}

/* Maps a memfd of exactly so many bytes that cannot shrink: else an access could end in SIGBUS. NULL if it is not, or if
 * the system maps no more: then *fault is its errno, else 0. */
static void *lrd_map(int descriptor, size_t byte_count, int *fault) {
  struct stat facts;
  int seals = fcntl(descriptor, F_GET_SEALS);
  *fault = 0;
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || (seals & F_SEAL_GROW) == 0) return NULL;
  if (fstat(descriptor, &facts) != 0 || facts.st_size < 0 || (uint64_t)facts.st_size != byte_count) return NULL;
  void *bytes = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (bytes == MAP_FAILED) *fault = errno;
  return bytes == MAP_FAILED ? NULL : bytes;
}

/* Gives back an arena that could not be mapped. */
static larder_status lrd_return_arena(larder_client *client, uint32_t number, size_t byte_count, int fault) {
  larder_status status = lrd_begin(client, LRD_CLOSE_ARENA);
  if (status != LARDER_OK) return status;
  lrd_put_u32(&client->out, number);
  status = lrd_ask_nothing(client);
  if (status != LARDER_OK) return status;
  return lrd_fail(client, LARDER_SYSTEM, "an arena of %zu bytes cannot be mapped: %s", byte_count, strerror(fault));
}

larder_status larder_open_arena(larder_client *client, size_t byte_count, larder_arena **arena) {
  lrd_frame answer;
  int fault;
  uint32_t number = 0;
  const char *reason;
  if (arena != NULL) *arena = NULL;
  larder_status status = lrd_begin(client, LRD_OPEN_ARENA);
  if (status != LARDER_OK) return status;
  if (arena == NULL || byte_count == 0)
    return lrd_fail(client, LARDER_INVALID_ARGUMENT, "an arena has at least one byte, and somewhere to be returned");
  if (!larder_has_arenas(client))
    return lrd_fail(client, LARDER_NO_ARENAS, "this daemon shares no memory; page with memory of your own");
  lrd_put_u64(&client->out, byte_count);
  status = lrd_ask(client, &answer);
  if (status != LARDER_OK) return status;
  status = lrd_decode_u32(answer.body, answer.count, &number, &reason);
  if (status != LARDER_OK) return lrd_violation(client, reason);
  if (client->descriptor < 0 || client->descriptors != 1)
    return lrd_violation(client, "no descriptor came with an arena, or several");
  void *bytes = lrd_map(client->descriptor, byte_count, &fault);
  close(client->descriptor);
  client->descriptor = -1;
  if (bytes == NULL && fault != 0) return lrd_return_arena(client, number, byte_count, fault);
  if (bytes == NULL) return lrd_violation(client, "an arena has another size, or is not sealed");
  *arena = lrd_adopt_arena(client, number, bytes, byte_count, true);
  if (*arena != NULL) return LARDER_OK;
  munmap(bytes, byte_count);
  return lrd_lose(client, LARDER_OUT_OF_MEMORY, "memory for an arena's handle is out");
}

larder_status larder_register_arena(larder_client *client, int descriptor, void *mapping, size_t byte_count,
                                    larder_arena **arena) {
  lrd_frame answer;
  uint32_t number = 0;
  const char *reason;
  int fault = 0;
  if (arena != NULL) *arena = NULL;
  larder_status status = lrd_begin(client, LRD_REGISTER_ARENA);
  if (status != LARDER_OK) return status;
  if (arena == NULL || byte_count == 0 || descriptor < 0)
    return lrd_fail(client, LARDER_INVALID_ARGUMENT, "an arena has a descriptor, at least one byte, and somewhere to "
                    "be returned");
  if (!larder_has_arenas(client))
    return lrd_fail(client, LARDER_NO_ARENAS, "this daemon shares no memory; page with memory of your own");
  void *bytes = mapping != NULL ? mapping : lrd_map(descriptor, byte_count, &fault);
  if (fault != 0)
    return lrd_fail(client, LARDER_SYSTEM, "%zu bytes cannot be mapped: %s", byte_count, strerror(fault));
  if (bytes == NULL)
    return lrd_fail(client, LARDER_INVALID_ARGUMENT, "the descriptor is not a memfd of %zu bytes that is sealed "
                    "against shrinking and growing; larder_sealed_memfd makes one", byte_count);
  lrd_put_u64(&client->out, byte_count);
  status = lrd_ask_with(client, descriptor, &answer);
  if (status == LARDER_OK) {
    status = lrd_decode_u32(answer.body, answer.count, &number, &reason);
    if (status != LARDER_OK) status = lrd_violation(client, reason);
  }
  if (status == LARDER_OK) *arena = lrd_adopt_arena(client, number, bytes, byte_count, mapping == NULL);
  if (status == LARDER_OK && *arena != NULL) return LARDER_OK;
  if (mapping == NULL) munmap(bytes, byte_count);
  if (status != LARDER_OK) return status;
  return lrd_lose(client, LARDER_OUT_OF_MEMORY, "memory for an arena's handle is out");
}

larder_status larder_close_arena(larder_arena *arena) {
  if (arena == NULL) return LARDER_INVALID_ARGUMENT;
  larder_client *client = arena->client;
  uint32_t number = arena->number;
  /* While a call is under way, the daemon may write to it: it stays mapped until the connection is closed. */
  if (!client->is_calling) lrd_release_arena(arena);
  larder_status status = lrd_begin(client, LRD_CLOSE_ARENA);
  if (status != LARDER_OK) return status;
  lrd_put_u32(&client->out, number);
  return lrd_ask_nothing(client);
}

void *larder_arena_bytes(const larder_arena *arena) { return arena == NULL ? NULL : arena->bytes; }

size_t larder_arena_size(const larder_arena *arena) { return arena == NULL ? 0 : arena->size; }

larder_status larder_sealed_memfd(size_t byte_count, int *descriptor) {
  if (descriptor == NULL || byte_count == 0 || byte_count > (uint64_t)INT64_MAX) return LARDER_INVALID_ARGUMENT;
  int made = memfd_create("larder-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (made < 0) return LARDER_SYSTEM;
  if (ftruncate(made, (off_t)byte_count) == 0 && fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0) {
    *descriptor = made;
    return LARDER_OK;
  }
  int fault = errno;
  close(made);
  errno = fault;
  return LARDER_SYSTEM;
}

/* The arena in which bytes lie; NULL if in none. *is_whole: whether all of them do. */
static const larder_arena *lrd_arena_of(const larder_client *client, const void *bytes, size_t count, bool *is_whole) {
  uintptr_t at = (uintptr_t)bytes;
  *is_whole = true;
  for (size_t i = 0; i < client->arena_count; i++) {
    const larder_arena *arena = client->arenas[i];
    uintptr_t start = (uintptr_t)arena->bytes;
    if (at < start || at - start >= arena->size) continue;
    *is_whole = count <= arena->size - (size_t)(at - start);
    return arena;
  }
  return NULL;
}

/* The connection's own arena, made when it is first needed; NULL where there can be none. */
static larder_status lrd_open_stage(larder_client *client) {
  if (client->stage != NULL || client->is_stage_refused || !larder_has_arenas(client)) return LARDER_OK;
  larder_status status = larder_open_arena(client, LRD_STAGE_BYTES, &client->stage);
  if (status != LARDER_OK && client->socket >= 0) {
    client->is_stage_refused = true; /* the daemon lends no more: payloads go over the socket */
    return LARDER_OK;
  }
  return status;
}

/* ---- Batches ----------------------------------------------------------------------------------------------------- */

/* A request of a batch that waits for its answer. */
typedef struct lrd_request {
  uint64_t id;
  unsigned type;
  size_t first; /* of the batch's items */
  size_t count;
  size_t stage; /* where in the connection's own arena its items begin */
  unsigned progress; /* frames of it so far */
  bool is_waiting;
} lrd_request;

/* A call that pages any number of chunks: `outs` or `ins`. */
typedef struct lrd_batch {
  larder_client *client;
  const larder_page_out *outs;
  const larder_page_in *ins;
  size_t count;
  larder_result *results;
  larder_acknowledgement acknowledgement;
  larder_encoding encoding;
  uint32_t layer_group;
  larder_progress progress;
  void *context;
  size_t next; /* the first item that was not sent */
  size_t sent; /* requests */
  size_t window_size;
  lrd_request window[LRD_WINDOW];
  struct iovec parts[LRD_REQUEST_ITEMS + 1];
} lrd_batch;

static const void *lrd_item_bytes(const lrd_batch *batch, size_t index, size_t *count) {
  *count = batch->outs != NULL ? batch->outs[index].byte_count : batch->ins[index].byte_count;
  return batch->outs != NULL ? batch->outs[index].bytes : batch->ins[index].into;
}

/* How an item's bytes travel. */
typedef enum lrd_way { LRD_IN_ARENA, LRD_STAGED, LRD_INLINE } lrd_way;

static lrd_way lrd_way_of(const lrd_batch *batch, size_t index) {
  size_t count;
  bool is_whole;
  const void *bytes = lrd_item_bytes(batch, index, &count);
  if (lrd_arena_of(batch->client, bytes, count, &is_whole) != NULL) return LRD_IN_ARENA;
  if (batch->client->stage == NULL || count > LRD_STAGE_BYTES || (batch->outs != NULL && count == 0)) return LRD_INLINE;
  return LRD_STAGED;
}

static size_t lrd_aligned(size_t count) { return (count + LRD_ALIGNMENT - 1) / LRD_ALIGNMENT * LRD_ALIGNMENT; }

/* Where an item's bytes are. *stage: where in the connection's own arena the next staged item goes. */
static lrd_place lrd_place_of(const lrd_batch *batch, size_t index, size_t *stage) {
  lrd_place place;
  size_t count;
  bool is_whole;
  const void *bytes = lrd_item_bytes(batch, index, &count);
  const larder_arena *arena = lrd_arena_of(batch->client, bytes, count, &is_whole);
  lrd_way way = lrd_way_of(batch, index);
  memset(&place, 0, sizeof place);
  place.bytes = count;
  place.in_arena = way != LRD_INLINE;
  if (way == LRD_IN_ARENA) {
    place.arena = arena->number;
    place.offset = (uint64_t)((const uint8_t *)bytes - arena->bytes);
  } else if (way == LRD_STAGED) {
    place.arena = batch->client->stage->number;
    place.offset = *stage;
    *stage += lrd_aligned(count);
  }
  return place;
}

/* Checks every item before anything is sent. */
static larder_status lrd_check_items(lrd_batch *batch) {
  larder_client *client = batch->client;
  bool needs_stage = false;
  for (size_t i = 0; i < batch->count; i++) {
    size_t count;
    bool is_whole;
    const void *bytes = lrd_item_bytes(batch, i, &count);
    const larder_arena *arena = lrd_arena_of(client, bytes, count, &is_whole);
    if (bytes == NULL && (count != 0 || batch->ins != NULL))
      return lrd_fail(client, LARDER_INVALID_ARGUMENT, "item %zu has no memory", i);
    if (!is_whole) return lrd_fail(client, LARDER_INVALID_ARGUMENT, "item %zu reaches beyond its arena", i);
    if (batch->layer_group > 0 && arena == NULL)
      return lrd_fail(client, LARDER_INVALID_ARGUMENT, "item %zu is in no arena, as progress asks for", i);
    needs_stage = needs_stage || (arena == NULL && count > 0);
  }
  if (batch->layer_group > 0 && batch->count > client->limits.batch_items)
    return lrd_fail(client, LARDER_INVALID_ARGUMENT, "progress takes at most %lu items, not %zu",
                    (unsigned long)client->limits.batch_items, batch->count);
  larder_status status = needs_stage ? lrd_open_stage(client) : LARDER_OK;
  for (size_t i = 0; status == LARDER_OK && batch->outs != NULL && i < batch->count; i++)
    if (lrd_way_of(batch, i) == LRD_INLINE && batch->outs[i].byte_count > client->out.limit - 512)
      return lrd_fail(client, LARDER_TOO_LARGE, "item %zu has %zu bytes, more than a frame carries; put it in an arena",
                      i, batch->outs[i].byte_count);
  return status;
}

/* How many items from `next` on go into one request: as many as its limits allow, and at least one. *is_alone: that one
 * takes all of the connection's own arena. */
static size_t lrd_cut(const lrd_batch *batch, bool *is_alone) {
  const larder_client *client = batch->client;
  size_t most = client->limits.batch_items;
  size_t sums[3] = {0, 0, 0}, limits[3] = {LRD_ARENA_BYTES, LRD_SLOT_BYTES, LRD_INLINE_BYTES};
  size_t taken = 0;
  lrd_way first = lrd_way_of(batch, batch->next);
  *is_alone = false;
  if (batch->layer_group > 0) return batch->count;
  if (most > LRD_REQUEST_ITEMS) most = LRD_REQUEST_ITEMS;
  for (size_t i = batch->next; i < batch->count && taken < most; i++, taken++) {
    size_t count;
    lrd_way way = lrd_way_of(batch, i);
    lrd_item_bytes(batch, i, &count);
    if (way == LRD_STAGED) count = lrd_aligned(count);
    /* A get and a get_into are different requests. The inline payloads of a put are in its frame, those of a get in its
     * answer's, each beside the fields of its items. */
    bool is_other = batch->ins != NULL && (way == LRD_INLINE) != (first == LRD_INLINE);
    bool is_over = count > limits[way] - sums[way];
    size_t fields = (taken + 1) * (batch->outs != NULL ? LRD_ITEM_BYTES : LRD_ITEM_ANSWER_BYTES) + LRD_ITEM_BYTES;
    size_t carried = sums[LRD_INLINE] + (way == LRD_INLINE ? count : 0);
    bool is_long = fields > client->out.limit || carried > client->out.limit - fields;
    if (taken > 0 && (is_other || is_over || is_long)) break;
    *is_alone = way == LRD_STAGED && count > LRD_SLOT_BYTES;
    if (is_over) return 1;
    sums[way] += count;
  }
  return taken;
}

static larder_status lrd_send_batch(lrd_batch *batch, lrd_request *request) {
  larder_client *client = batch->client;
  lrd_writer *out = &client->out;
  size_t stage = request->stage, parts = 1;
  bool is_inline = batch->ins != NULL && lrd_way_of(batch, request->first) == LRD_INLINE;
  request->id = client->next_id++;
  request->type = batch->outs != NULL ? LRD_PUT : is_inline ? LRD_GET : LRD_GET_INTO;
  request->progress = 0;
  lrd_start(out, request->type, request->id);
  if (request->type == LRD_PUT)
    lrd_encode_put_head(out, batch->acknowledgement, batch->encoding, (uint32_t)request->count);
  if (request->type == LRD_GET_INTO) lrd_put_u32(out, batch->layer_group);
  if (request->type != LRD_PUT) lrd_put_u32(out, (uint32_t)request->count);
  for (size_t i = request->first; i < request->first + request->count; i++) {
    lrd_place place = lrd_place_of(batch, i, &stage);
    if (request->type == LRD_GET) lrd_encode_get_item(out, &batch->ins[i]);
    if (request->type == LRD_GET_INTO) lrd_encode_get_into_item(out, &batch->ins[i], &place);
    if (request->type != LRD_PUT) continue;
    const larder_page_out *item = &batch->outs[i];
    if (lrd_way_of(batch, i) == LRD_STAGED)
      memcpy(client->stage->bytes + place.offset, item->bytes, item->byte_count);
    lrd_encode_put_item(out, item, &place);
    if (place.in_arena || item->byte_count == 0) continue;
    /* iovec has no const; sendmsg only reads. */
    memcpy(&batch->parts[parts].iov_base, &item->bytes, sizeof item->bytes);
    batch->parts[parts++].iov_len = item->byte_count;
  }
  return lrd_send_request(client, batch->parts, parts, -1);
}

/* Fills in what the items of an answered get have become, and copies what was staged or came inline. */
static larder_status lrd_finish_get(lrd_batch *batch, const lrd_request *request, const lrd_served *served) {
  larder_client *client = batch->client;
  size_t stage = request->stage;
  for (size_t i = 0; i < request->count; i++) {
    const larder_page_in *item = &batch->ins[request->first + i];
    const lrd_place *place = &served[i].place;
    larder_result *result = &batch->results[request->first + i];
    lrd_place asked = lrd_place_of(batch, request->first + i, &stage);
    *result = served[i].result;
    if (result->status != LARDER_OK) continue;
    bool is_same = place->in_arena == asked.in_arena && place->arena == asked.arena && place->offset == asked.offset;
    if (!is_same || (place->in_arena && place->bytes > asked.bytes))
      return lrd_violation(client, "a chunk was paged in elsewhere than was asked");
    if (place->bytes > item->byte_count) {
      result->status = LARDER_WRONG_LENGTH;
      result->bytes = 0;
      result->message = "the chunk is larger than the memory given for it";
    } else if (served[i].payload != NULL) {
      memcpy(item->into, served[i].payload, (size_t)place->bytes);
    } else if (lrd_way_of(batch, request->first + i) == LRD_STAGED) {
      memcpy(item->into, client->stage->bytes + asked.offset, (size_t)place->bytes);
    }
  }
  return LARDER_OK;
}

static larder_status lrd_finish_answered(lrd_batch *batch, const lrd_request *request, const lrd_frame *frame) {
  larder_client *client = batch->client;
  const char *reason;
  if (frame->type != (request->type | LRD_ANSWER_BIT)) return lrd_violation(client, "an answer of another type");
  if (request->type == LRD_PUT) {
    larder_status status = lrd_decode_put(frame->body, frame->count, batch->results + request->first, request->count,
                                          &client->keeper, &reason);
    return lrd_decoded(client, status, reason);
  }
  lrd_served *served = (lrd_served *)calloc(request->count, sizeof *served);
  if (served == NULL) return lrd_lose(client, LARDER_OUT_OF_MEMORY, "memory for an answer is out");
  larder_status status =
      lrd_decode_get(frame->body, frame->count, served, request->count, &client->keeper, &reason);
  status = lrd_decoded(client, status, reason);
  if (status == LARDER_OK) status = lrd_finish_get(batch, request, served);
  free(served);
  return status;
}

static void lrd_fill_results(lrd_batch *batch, size_t first, size_t count, larder_status status, const char *message) {
  for (size_t i = first; i < first + count; i++) {
    memset(&batch->results[i], 0, sizeof batch->results[i]);
    batch->results[i].status = status;
    batch->results[i].message = message;
  }
}

/* A refusal of a whole request is that of its items; the connection goes on, or is lost. */
static larder_status lrd_finish_refused(lrd_batch *batch, const lrd_request *request, const lrd_frame *frame) {
  larder_client *client = batch->client;
  larder_status status = lrd_refused(client, frame);
  if (client->socket < 0) return status;
  const char *message =
      lrd_keep(&client->keeper, (const uint8_t *)client->message, strlen(client->message));
  lrd_fill_results(batch, request->first, request->count, status, message);
  return LARDER_OK;
}

static larder_status lrd_tell_progress(lrd_batch *batch, lrd_request *request, const lrd_frame *frame) {
  uint32_t layers = 0;
  const char *reason;
  bool is_expected = request->type == LRD_GET_INTO && batch->layer_group > 0;
  if (!is_expected || ++request->progress > LRD_PROGRESS_FRAMES)
    return lrd_violation(batch->client, "a frame of progress that was not asked for");
  if (lrd_decode_u32(frame->body, frame->count, &layers, &reason) != LARDER_OK)
    return lrd_violation(batch->client, reason);
  if (batch->progress != NULL) batch->progress(batch->context, layers);
  return LARDER_OK;
}

/* Receives one frame, whichever request it belongs to. */
static larder_status lrd_receive_one(lrd_batch *batch) {
  lrd_frame frame;
  lrd_request *request = NULL;
  larder_status status = lrd_receive(batch->client, &frame);
  if (status != LARDER_OK) return status;
  for (size_t i = 0; i < batch->window_size; i++)
    if (batch->window[i].is_waiting && batch->window[i].id == frame.id) request = &batch->window[i];
  if (request == NULL && frame.id == 0 && frame.type == LRD_REFUSAL_TYPE) return lrd_refused(batch->client, &frame);
  if (request == NULL) return lrd_violation(batch->client, "an answer to a request that was not sent");
  if (frame.type == LRD_PROGRESS_TYPE) return lrd_tell_progress(batch, request, &frame);
  status = frame.type == LRD_REFUSAL_TYPE ? lrd_finish_refused(batch, request, &frame)
                                          : lrd_finish_answered(batch, request, &frame);
  if (status == LARDER_OK) request->is_waiting = false;
  return status;
}

/* Receives until no request waits. */
static larder_status lrd_drain(lrd_batch *batch) {
  larder_status status = LARDER_OK;
  for (size_t i = 0; i < batch->window_size; i++)
    while (status == LARDER_OK && batch->window[i].is_waiting) status = lrd_receive_one(batch);
  return status;
}

/* Sends the next request, once its place in the window is free. */
static larder_status lrd_step(lrd_batch *batch) {
  bool is_alone;
  size_t count = lrd_cut(batch, &is_alone);
  lrd_request *request = &batch->window[batch->sent % batch->window_size];
  larder_status status = is_alone ? lrd_drain(batch) : LARDER_OK;
  while (status == LARDER_OK && request->is_waiting) status = lrd_receive_one(batch);
  if (status != LARDER_OK) return status;
  request->first = batch->next;
  request->count = count;
  request->stage = is_alone ? 0 : batch->sent % batch->window_size * LRD_SLOT_BYTES;
  status = lrd_send_batch(batch, request);
  if (status != LARDER_OK) return status;
  request->is_waiting = true;
  batch->next += count;
  batch->sent++;
  return is_alone ? lrd_drain(batch) : LARDER_OK;
}

/* Ends a call: every item has its result, whatever happened. */
static larder_status lrd_end_batch(lrd_batch *batch, larder_status status) {
  larder_client *client = batch->client;
  if (status != LARDER_OK) {
    char message[sizeof client->message];
    memcpy(message, client->message, sizeof message);
    /* A request that could not be sent leaves others under way. */
    if (client->socket >= 0 && lrd_drain(batch) == LARDER_OK) memcpy(client->message, message, sizeof message);
    const char *kept = lrd_keep(&client->keeper, (const uint8_t *)message, strlen(message));
    for (size_t i = 0; i < batch->window_size; i++)
      if (batch->window[i].is_waiting)
        lrd_fill_results(batch, batch->window[i].first, batch->window[i].count, status, kept);
    lrd_fill_results(batch, batch->next, batch->count - batch->next, status, kept);
    return status;
  }
  for (size_t i = 0; i < batch->count; i++)
    if (batch->results[i].status != LARDER_OK)
      return lrd_fail(client, batch->results[i].status, "item %zu: %s", i,
                      batch->results[i].message[0] != 0 ? batch->results[i].message
                                                        : larder_status_name(batch->results[i].status));
  client->message[0] = 0;
  return LARDER_OK;
}

static larder_status lrd_run(lrd_batch *batch) {
  larder_client *client = batch->client;
  larder_status status = lrd_ready(client);
  if (client == NULL) return LARDER_INVALID_ARGUMENT;
  if (batch->results == NULL && batch->count > 0)
    return lrd_fail(client, LARDER_INVALID_ARGUMENT, "there is no room for results");
  if (batch->outs == NULL && batch->ins == NULL && batch->count > 0 && status == LARDER_OK)
    status = lrd_fail(client, LARDER_INVALID_ARGUMENT, "the items are NULL");
  if (status == LARDER_OK) status = lrd_check_items(batch);
  batch->window_size = client->limits.requests_in_flight;
  if (batch->window_size > LRD_WINDOW) batch->window_size = LRD_WINDOW;
  bool was_calling = client->is_calling;
  client->is_calling = true;
  while (status == LARDER_OK && batch->next < batch->count) status = lrd_step(batch);
  if (status == LARDER_OK) status = lrd_drain(batch);
  status = lrd_end_batch(batch, status);
  client->is_calling = was_calling;
  return status;
}

larder_status larder_put_from(larder_client *client, const larder_page_out *items, size_t count,
                              larder_acknowledgement acknowledgement, larder_encoding encoding,
                              larder_result *results) {
  lrd_batch batch;
  memset(&batch, 0, sizeof batch);
  batch.client = client;
  batch.outs = items;
  batch.count = count;
  batch.acknowledgement = acknowledgement;
  batch.encoding = encoding;
  batch.results = results;
  return lrd_run(&batch);
}

larder_status larder_put(larder_client *client, const larder_page_out *item, larder_acknowledgement acknowledgement,
                         larder_encoding encoding, uint64_t *stored_bytes) {
  larder_result result;
  memset(&result, 0, sizeof result);
  larder_status status = larder_put_from(client, item, 1, acknowledgement, encoding, &result);
  if (stored_bytes != NULL) *stored_bytes = result.bytes;
  return status;
}

larder_status larder_get_into(larder_client *client, const larder_page_in *items, size_t count, uint32_t layer_group,
                              larder_progress progress, void *context, larder_result *results) {
  lrd_batch batch;
  memset(&batch, 0, sizeof batch);
  batch.client = client;
  batch.ins = items;
  batch.count = count;
  batch.layer_group = layer_group;
  batch.progress = progress;
  batch.context = context;
  batch.results = results;
  return lrd_run(&batch);
}

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

const char *larder_status_name(larder_status status) {
  static const char *const wire[] = {
      "ok", "malformed", "frameTooLong", "unknownRequest", "handshake", "protocolVersion", "invalidArgument",
      "invalidModel", "unknownModel", "modelMismatch", "forbidden", "unknownSession", "unknownComponent",
      "wrongLength", "overlap", "unaligned", "conflict", "miss", "damaged", "full", "busy", "tooLarge",
      "shuttingDown", "storage", "internal", "tooManyConnections", "storeUnusable", "exists", "declined"};
  static const char *const own[] = {"connectionFailed", "connectionLost", "timedOut", "protocolViolation",
                                    "outOfMemory", "noArenas", "system"};
  unsigned value = (unsigned)status;
  if (value < sizeof wire / sizeof wire[0]) return wire[value];
  if (value - 256u < sizeof own / sizeof own[0]) return own[value - 256u];
  return "unknown";
}

larder_status larder_declare_model(larder_client *client, const larder_model *model, larder_declared *declared) {
  lrd_frame answer;
  const char *reason;
  lrd_sha256 hash;
  larder_status status = lrd_begin(client, LRD_DECLARE_MODEL);
  if (status != LARDER_OK) return status;
  if (model == NULL || declared == NULL) return lrd_fail(client, LARDER_INVALID_ARGUMENT, "an argument is NULL");
  lrd_encode_model(&client->out, model);
  if (client->out.fault == LARDER_OK) {
    lrd_sha256_begin(&hash);
    lrd_sha256_add(&hash, client->out.bytes + LRD_HEADER_BYTES, client->out.count - LRD_HEADER_BYTES);
  }
  status = lrd_ask(client, &answer);
  if (status != LARDER_OK) return status;
  status = lrd_decode_declared(answer.body, answer.count, declared, &reason);
  if (status != LARDER_OK) return lrd_violation(client, reason);
  larder_key fingerprint = lrd_sha256_end(&hash);
  if (memcmp(fingerprint.bytes, declared->fingerprint.bytes, sizeof fingerprint.bytes) == 0) return LARDER_OK;
  return lrd_violation(client, "a fingerprint that is not the declaration's");
}

larder_status larder_open_session(larder_client *client, const char *namespace_name, const char *name,
                                  uint32_t model_id, bool create, larder_session *session) {
  larder_status status = lrd_begin(client, LRD_OPEN_SESSION);
  if (status != LARDER_OK) return status;
  if (session == NULL) return lrd_fail(client, LARDER_INVALID_ARGUMENT, "session is NULL");
  lrd_encode_open_session(&client->out, namespace_name, name, model_id, create);
  LRD_ASK_AND_DECODE(client, lrd_decode_session, session);
}

larder_status larder_fork(larder_client *client, uint64_t session, uint64_t offset, const char *name,
                          larder_session *forked) {
  larder_status status = lrd_begin(client, LRD_FORK);
  if (status != LARDER_OK) return status;
  if (forked == NULL) return lrd_fail(client, LARDER_INVALID_ARGUMENT, "forked is NULL");
  lrd_put_u64(&client->out, session);
  lrd_put_u64(&client->out, offset);
  lrd_put_text(&client->out, name);
  LRD_ASK_AND_DECODE(client, lrd_decode_session, forked);
}

larder_status larder_truncate(larder_client *client, uint64_t session, uint64_t offset) {
  larder_status status = lrd_begin(client, LRD_TRUNCATE);
  if (status != LARDER_OK) return status;
  lrd_put_u64(&client->out, session);
  lrd_put_u64(&client->out, offset);
  return lrd_ask_nothing(client);
}

larder_status larder_drop(larder_client *client, uint64_t session) {
  larder_status status = lrd_begin(client, LRD_DROP);
  if (status != LARDER_OK) return status;
  lrd_put_u64(&client->out, session);
  return lrd_ask_nothing(client);
}

larder_status larder_configure_session(larder_client *client, uint64_t session, uint32_t ttl_seconds) {
  larder_status status = lrd_begin(client, LRD_CONFIGURE_SESSION);
  if (status != LARDER_OK) return status;
  lrd_put_u64(&client->out, session);
  lrd_put_u32(&client->out, ttl_seconds);
  return lrd_ask_nothing(client);
}

/* The key before the first one. */
static larder_key lrd_first_key(const void *context, size_t context_bytes) {
  lrd_sha256 hash;
  uint8_t length[8];
  for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)context_bytes >> (8 * i));
  lrd_sha256_begin(&hash);
  lrd_sha256_add(&hash, "larder-prefix-1", 15);
  lrd_sha256_add(&hash, length, sizeof length);
  lrd_sha256_add(&hash, context, context_bytes);
  return lrd_sha256_end(&hash);
}

/* The next key of a chain, over so many tokens. */
static larder_key lrd_next_key(const larder_key *before, const uint32_t *tokens, size_t count) {
  lrd_sha256 hash;
  lrd_sha256_begin(&hash);
  lrd_sha256_add(&hash, before->bytes, sizeof before->bytes);
  for (size_t i = 0; i < count; i++) {
    uint8_t bytes[4];
    for (int j = 0; j < 4; j++) bytes[j] = (uint8_t)(tokens[i] >> (8 * j));
    lrd_sha256_add(&hash, bytes, sizeof bytes);
  }
  return lrd_sha256_end(&hash);
}

size_t larder_prefix_keys(const uint32_t *tokens, size_t token_count, size_t chunk_tokens, const void *context,
                          size_t context_bytes, const larder_key *parent, larder_key *keys) {
  size_t count = chunk_tokens == 0 ? 0 : token_count / chunk_tokens;
  if (keys == NULL || tokens == NULL) return count;
  larder_key key = parent != NULL ? *parent : lrd_first_key(context, context == NULL ? 0 : context_bytes);
  for (size_t i = 0; i < count; i++) keys[i] = key = lrd_next_key(&key, tokens + i * chunk_tokens, chunk_tokens);
  return count;
}

larder_key larder_recurrent_key(const uint32_t *tokens, size_t token_count, size_t chunk_tokens, const void *context,
                                size_t context_bytes, const larder_key *parent) {
  larder_key key = parent != NULL ? *parent : lrd_first_key(context, context == NULL ? 0 : context_bytes);
  if (chunk_tokens == 0) chunk_tokens = token_count;
  for (size_t at = 0; tokens != NULL && at < token_count;) {
    size_t count = token_count - at < chunk_tokens ? token_count - at : chunk_tokens;
    key = lrd_next_key(&key, tokens + at, count);
    at += count;
  }
  return key;
}

larder_status larder_match(larder_client *client, const char *namespace_name, uint32_t model_id, uint16_t component,
                           const larder_key *keys, size_t key_count, uint32_t *matched) {
  lrd_frame answer;
  const char *reason;
  larder_status status = lrd_begin(client, LRD_MATCH);
  if (status != LARDER_OK) return status;
  if (matched == NULL) return lrd_fail(client, LARDER_INVALID_ARGUMENT, "matched is NULL");
  lrd_encode_match(&client->out, namespace_name, model_id, component, keys, key_count);
  status = lrd_ask(client, &answer);
  if (status != LARDER_OK) return status;
  status = lrd_decode_u32(answer.body, answer.count, matched, &reason);
  if (status != LARDER_OK) return lrd_violation(client, reason);
  return *matched <= key_count ? LARDER_OK : lrd_violation(client, "more keys matched than were asked for");
}

larder_status larder_resume(larder_client *client, uint64_t session, uint64_t at_most, uint32_t prefill_rate,
                            larder_resume_plan **plan) {
  if (plan == NULL) return LARDER_INVALID_ARGUMENT;
  *plan = NULL;
  larder_status status = lrd_begin(client, LRD_RESUME);
  if (status != LARDER_OK) return status;
  lrd_put_u64(&client->out, session);
  lrd_put_u64(&client->out, at_most);
  lrd_put_u32(&client->out, prefill_rate);
  LRD_ASK_AND_DECODE(client, lrd_decode_resume, plan);
}

larder_status larder_plan_snapshots(larder_client *client, uint64_t session, uint64_t length, uint64_t resumed_at,
                                    uint32_t boundary, uint32_t stride, uint32_t budget, larder_snapshot_plan **plan) {
  if (plan == NULL) return LARDER_INVALID_ARGUMENT;
  *plan = NULL;
  larder_status status = lrd_begin(client, LRD_PLAN_SNAPSHOTS);
  if (status != LARDER_OK) return status;
  lrd_encode_plan_snapshots(&client->out, session, length, resumed_at, boundary, stride, budget);
  LRD_ASK_AND_DECODE(client, lrd_decode_snapshots, plan);
}

larder_status larder_explain(larder_client *client, uint64_t session, uint64_t at_most, uint32_t model_id,
                             larder_explanation **explanation) {
  if (explanation == NULL) return LARDER_INVALID_ARGUMENT;
  *explanation = NULL;
  larder_status status = lrd_begin(client, LRD_EXPLAIN);
  if (status != LARDER_OK) return status;
  lrd_put_u64(&client->out, session);
  lrd_put_u64(&client->out, at_most);
  lrd_put_u32(&client->out, model_id);
  LRD_ASK_AND_DECODE(client, lrd_decode_explain, explanation);
}

larder_status larder_prefetch(larder_client *client, uint64_t session, uint64_t at_most) {
  larder_status status = lrd_begin(client, LRD_PREFETCH);
  if (status != LARDER_OK) return status;
  lrd_put_u64(&client->out, session);
  lrd_put_u64(&client->out, at_most);
  return lrd_ask_nothing(client);
}

larder_status larder_give_hints(larder_client *client, const larder_hint *hints, size_t count,
                                larder_hint_result *results) {
  lrd_frame answer;
  const char *reason;
  larder_status status = lrd_begin(client, LRD_HINT);
  if (status != LARDER_OK) return status;
  if (count > 0 && (hints == NULL || results == NULL))
    return lrd_fail(client, LARDER_INVALID_ARGUMENT, "hints or results are NULL");
  if (count > client->limits.batch_items || count > LARDER_BATCH_ITEMS)
    return lrd_fail(client, LARDER_INVALID_ARGUMENT, "%zu hints are too many; give them in parts", count);
  lrd_put_u32(&client->out, (uint32_t)count);
  for (size_t i = 0; i < count; i++) lrd_encode_hint(&client->out, &hints[i]);
  status = lrd_ask(client, &answer);
  if (status != LARDER_OK) return status;
  status = lrd_decode_hints(answer.body, answer.count, results, count, &client->keeper, &reason);
  return lrd_decoded(client, status, reason);
}

/* Gives one hint about a session's tokens. */
static larder_status lrd_give_hint(larder_client *client, larder_hint *hint, uint64_t session, uint64_t from,
                                   uint64_t to, larder_hint_result *result) {
  larder_hint_result own;
  hint->session = session;
  hint->from = from;
  hint->to = to;
  return larder_give_hints(client, hint, 1, result == NULL ? &own : result);
}

larder_status larder_retain(larder_client *client, uint64_t session, uint64_t from, uint64_t to, uint32_t seconds,
                            int8_t priority, larder_hint_result *result) {
  larder_hint hint;
  memset(&hint, 0, sizeof hint);
  hint.kind = LARDER_RETAIN;
  hint.seconds = seconds;
  hint.priority = priority;
  return lrd_give_hint(client, &hint, session, from, to, result);
}

larder_status larder_pin(larder_client *client, uint64_t session, uint64_t from, uint64_t to, uint32_t seconds,
                         larder_hint_result *result) {
  larder_hint hint;
  memset(&hint, 0, sizeof hint);
  hint.kind = LARDER_PIN;
  hint.seconds = seconds;
  return lrd_give_hint(client, &hint, session, from, to, result);
}

larder_status larder_demote(larder_client *client, uint64_t session, uint64_t from, uint64_t to,
                            larder_hint_result *result) {
  larder_hint hint;
  memset(&hint, 0, sizeof hint);
  hint.kind = LARDER_DEMOTE;
  return lrd_give_hint(client, &hint, session, from, to, result);
}

larder_status larder_share(larder_client *client, uint64_t session, uint16_t rank, uint16_t component, uint64_t from,
                           uint64_t to, const larder_key *keys, uint32_t key_count, larder_hint_result *result) {
  larder_hint hint;
  memset(&hint, 0, sizeof hint);
  hint.kind = LARDER_SHARE;
  hint.target = LARDER_TARGET_TRACK;
  hint.rank = rank;
  hint.component = component;
  hint.keys = keys;
  hint.key_count = key_count;
  return lrd_give_hint(client, &hint, session, from, to, result);
}

larder_status larder_configure_namespace(larder_client *client, const char *name, const larder_policy_change *change,
                                         larder_policy *policy) {
  larder_policy own;
  larder_status status = lrd_begin(client, LRD_CONFIGURE_NAMESPACE);
  if (status != LARDER_OK) return status;
  lrd_encode_configure_namespace(&client->out, name, change);
  LRD_ASK_AND_DECODE(client, lrd_decode_policy, policy == NULL ? &own : policy);
}

larder_status larder_set_prefill_rate(larder_client *client, uint32_t model_id, uint32_t prefill_rate) {
  larder_status status = lrd_begin(client, LRD_SET_PREFILL_RATE);
  if (status != LARDER_OK) return status;
  lrd_put_u32(&client->out, model_id);
  lrd_put_u32(&client->out, prefill_rate);
  return lrd_ask_nothing(client);
}

larder_status larder_set_cap(larder_client *client, uint64_t cap_bytes, uint64_t *cap_bytes_in_force,
                             uint64_t *disk_bytes) {
  lrd_frame answer;
  const char *reason;
  uint64_t values[2];
  larder_status status = lrd_begin(client, LRD_SET_CAP);
  if (status != LARDER_OK) return status;
  lrd_put_u64(&client->out, cap_bytes);
  status = lrd_ask(client, &answer);
  if (status != LARDER_OK) return status;
  status = lrd_decode_two(answer.body, answer.count, values, &reason);
  if (status != LARDER_OK) return lrd_violation(client, reason);
  if (cap_bytes_in_force != NULL) *cap_bytes_in_force = values[0];
  if (disk_bytes != NULL) *disk_bytes = values[1];
  return LARDER_OK;
}

larder_status larder_sync(larder_client *client) {
  larder_status status = lrd_begin(client, LRD_SYNC);
  return status != LARDER_OK ? status : lrd_ask_nothing(client);
}

larder_status larder_list_models(larder_client *client, uint32_t after, larder_model_page **page) {
  if (page == NULL) return LARDER_INVALID_ARGUMENT;
  *page = NULL;
  larder_status status = lrd_begin(client, LRD_LIST_MODELS);
  if (status != LARDER_OK) return status;
  lrd_put_u32(&client->out, after);
  LRD_ASK_AND_DECODE(client, lrd_decode_models, page);
}

larder_status larder_list_namespaces(larder_client *client, uint32_t after, larder_namespace_page **page) {
  if (page == NULL) return LARDER_INVALID_ARGUMENT;
  *page = NULL;
  larder_status status = lrd_begin(client, LRD_LIST_NAMESPACES);
  if (status != LARDER_OK) return status;
  lrd_put_u32(&client->out, after);
  LRD_ASK_AND_DECODE(client, lrd_decode_namespaces, page);
}

larder_status larder_list_sessions(larder_client *client, const char *namespace_name, uint64_t after,
                                   larder_session_page **page) {
  if (page == NULL) return LARDER_INVALID_ARGUMENT;
  *page = NULL;
  larder_status status = lrd_begin(client, LRD_LIST_SESSIONS);
  if (status != LARDER_OK) return status;
  lrd_put_text(&client->out, namespace_name == NULL ? "" : namespace_name);
  lrd_put_u64(&client->out, after);
  LRD_ASK_AND_DECODE(client, lrd_decode_sessions, page);
}

larder_status larder_list_chunks(larder_client *client, const larder_chunk *from, larder_chunk_page **page) {
  if (page == NULL || from == NULL) return LARDER_INVALID_ARGUMENT;
  *page = NULL;
  larder_status status = lrd_begin(client, LRD_LIST_CHUNKS);
  if (status != LARDER_OK) return status;
  lrd_put_chunk(&client->out, from);
  LRD_ASK_AND_DECODE(client, lrd_decode_chunks, page);
}

larder_status larder_stat(larder_client *client, larder_statistics **statistics) {
  if (statistics == NULL) return LARDER_INVALID_ARGUMENT;
  *statistics = NULL;
  larder_status status = lrd_begin(client, LRD_STAT);
  if (status != LARDER_OK) return status;
  LRD_ASK_AND_DECODE(client, lrd_decode_stat, statistics);
}

larder_status larder_verify(larder_client *client, const larder_chunk *from, larder_verification **verification) {
  if (verification == NULL || from == NULL) return LARDER_INVALID_ARGUMENT;
  *verification = NULL;
  larder_status status = lrd_begin(client, LRD_VERIFY);
  if (status != LARDER_OK) return status;
  lrd_put_chunk(&client->out, from);
  LRD_ASK_AND_DECODE(client, lrd_decode_verify, verification);
}

larder_status larder_report(larder_client *client, const larder_report_request *request, larder_report_page **page) {
  if (page == NULL || request == NULL) return LARDER_INVALID_ARGUMENT;
  *page = NULL;
  larder_status status = lrd_begin(client, LRD_REPORT);
  if (status != LARDER_OK) return status;
  lrd_encode_report(&client->out, request);
  LRD_ASK_AND_DECODE(client, lrd_decode_report, page);
}

#ifdef __cplusplus
}
#endif

#endif /* LARDER_IMPLEMENTATION */
