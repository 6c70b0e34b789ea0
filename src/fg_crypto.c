/*-------------------------------------------------------------------------
 *
 * fg_crypto.c
 *		Token secrets, hashes and random bytes.
 *
 * A token is a 256-bit random number in a form that people can recognise and
 * copy: a prefix, so that secret scanners find one that was checked in; hex
 * digits, so that no client mangles it; and a checksum, so that a token cut
 * short or mistyped is told from one that is wrong.  The checksum protects
 * nothing: it is a CRC-32C of the text before it.
 *
 * With 256 random bits there is nothing to guess, so one round of SHA-256
 * without salt is enough to keep the secret out of the tables.
 *
 * No state, no locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/hmac.h"
#include "port/pg_crc32c.h"
#include "utils/builtins.h"

#include "fg_crypto.h"

#define PREFIX_LENGTH		(sizeof(FG_TOKEN_PREFIX) - 1)
#define RANDOM_BYTES		32
#define CHECKSUM_DIGITS		8

StaticAssertDecl(PREFIX_LENGTH + 2 * RANDOM_BYTES + CHECKSUM_DIGITS == FG_TOKEN_LENGTH,
				 "length of a token is the sum of its parts");

static void token_checksum(const char *text, char *digits);

/*
 * The checksum of a token's text up to where the checksum begins, as
 * CHECKSUM_DIGITS hex digits and a terminating zero.
 */
static void
token_checksum(const char *text, char *digits)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, text, FG_TOKEN_LENGTH - CHECKSUM_DIGITS);
	FIN_CRC32C(crc);
	snprintf(digits, CHECKSUM_DIGITS + 1, "%08x", crc);
}

void
fg_crypto_random(void *bytes, size_t length)
{
	if (!pg_strong_random(bytes, length))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random secret")));
}

char *
fg_crypto_new_token(void)
{
	uint8		secret[RANDOM_BYTES];
	char	   *text = palloc(FG_TOKEN_LENGTH + 1);

	fg_crypto_random(secret, sizeof(secret));
	memcpy(text, FG_TOKEN_PREFIX, PREFIX_LENGTH);
	hex_encode((const char *) secret, sizeof(secret), text + PREFIX_LENGTH);
	token_checksum(text, text + FG_TOKEN_LENGTH - CHECKSUM_DIGITS);
	explicit_bzero(secret, sizeof(secret));
	return text;
}

bool
fg_crypto_token_well_formed(const char *text)
{
	char		digits[CHECKSUM_DIGITS + 1];

	if (strlen(text) != FG_TOKEN_LENGTH ||
		strncmp(text, FG_TOKEN_PREFIX, PREFIX_LENGTH) != 0 ||
		strspn(text + PREFIX_LENGTH, "0123456789abcdef") != FG_TOKEN_LENGTH - PREFIX_LENGTH)
		return false;
	token_checksum(text, digits);
	return strcmp(text + FG_TOKEN_LENGTH - CHECKSUM_DIGITS, digits) == 0;
}

/*
 * Needs a resource owner, so it is for use inside transactions only.
 */
void
fg_crypto_hash_bytes(const void *data, size_t length, uint8 hash[FG_HASH_LENGTH])
{
	pg_cryptohash_ctx *ctx = pg_cryptohash_create(PG_SHA256);

	if (ctx == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	if (pg_cryptohash_init(ctx) < 0 ||
		pg_cryptohash_update(ctx, data, length) < 0 ||
		pg_cryptohash_final(ctx, hash, FG_HASH_LENGTH) < 0)
	{
		char	   *reason = pstrdup(pg_cryptohash_error(ctx));

		pg_cryptohash_free(ctx);
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute a hash: %s", reason)));
	}
	pg_cryptohash_free(ctx);
}

void
fg_crypto_hash(const char *text, uint8 hash[FG_HASH_LENGTH])
{
	fg_crypto_hash_bytes(text, strlen(text), hash);
}

static void
hmac(pg_cryptohash_type type, const void *key, size_t key_length,
	 const void *data, size_t length, uint8 *mac, size_t mac_length)
{
	pg_hmac_ctx *ctx = pg_hmac_create(type);

	if (ctx == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	if (pg_hmac_init(ctx, key, key_length) < 0 ||
		pg_hmac_update(ctx, data, length) < 0 ||
		pg_hmac_final(ctx, mac, mac_length) < 0)
	{
		char	   *reason = pstrdup(pg_hmac_error(ctx));

		pg_hmac_free(ctx);
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute an authentication code: %s", reason)));
	}
	pg_hmac_free(ctx);
}

void
fg_crypto_hmac_sha1(const void *key, size_t key_length, const void *data, size_t length,
					uint8 mac[SHA1_DIGEST_LENGTH])
{
	hmac(PG_SHA1, key, key_length, data, length, mac, SHA1_DIGEST_LENGTH);
}

void
fg_crypto_hmac_sha256(const void *key, size_t key_length, const void *data, size_t length,
					  uint8 mac[FG_HASH_LENGTH])
{
	hmac(PG_SHA256, key, key_length, data, length, mac, FG_HASH_LENGTH);
}

char *
fg_crypto_hex(const uint8 hash[FG_HASH_LENGTH])
{
	char	   *digits = palloc(FG_HASH_LENGTH * 2 + 1);

	hex_encode((const char *) hash, FG_HASH_LENGTH, digits);
	digits[FG_HASH_LENGTH * 2] = '\0';
	return digits;
}

bool
fg_crypto_equal(const uint8 *a, const uint8 *b, size_t length)
{
	volatile uint8 difference = 0;

	for (size_t i = 0; i < length; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}
