/*-------------------------------------------------------------------------
 *
 * fg_crypto.h
 *		Token secrets, hashes and random bytes, on PostgreSQL's own library.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_CRYPTO_H
#define FG_CRYPTO_H

#include "postgres.h"
#include "common/sha1.h"
#include "common/sha2.h"

#define FG_HASH_LENGTH		PG_SHA256_DIGEST_LENGTH

/* "fgt1_", 64 hex digits of a 256-bit random number, 8 of its checksum */
#define FG_TOKEN_PREFIX		"fgt1_"
#define FG_TOKEN_LENGTH		(5 + 64 + 8)

/* A new secret, palloc'd; raises an error if there is no strong random source. */
extern char *fg_crypto_new_token(void);
/* Has the text the form of a token?  Says nothing about whether it is known. */
extern bool fg_crypto_token_well_formed(const char *text);
/* SHA-256 of the bytes, of the text; inside transactions only. */
extern void fg_crypto_hash_bytes(const void *data, size_t length, uint8 hash[FG_HASH_LENGTH]);
extern void fg_crypto_hash(const char *text, uint8 hash[FG_HASH_LENGTH]);
/* HMAC of the bytes; inside transactions only. */
extern void fg_crypto_hmac_sha1(const void *key, size_t key_length, const void *data,
								size_t length, uint8 mac[SHA1_DIGEST_LENGTH]);
extern void fg_crypto_hmac_sha256(const void *key, size_t key_length, const void *data,
								  size_t length, uint8 mac[FG_HASH_LENGTH]);
/* Random bytes that nobody can guess; raises an error if there is no source of them. */
extern void fg_crypto_random(void *bytes, size_t length);
/* The hash in hex digits; palloc'd. */
extern char *fg_crypto_hex(const uint8 hash[FG_HASH_LENGTH]);
/* In a time that depends on nothing but the length. */
extern bool fg_crypto_equal(const uint8 *a, const uint8 *b, size_t length);

#endif							/* FG_CRYPTO_H */
