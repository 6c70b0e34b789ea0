/*-------------------------------------------------------------------------
 *
 * fg_totp_seal.c
 *		A TOTP secret in a form that may lie in a table.
 *
 * Codes can only be checked by who has the secret itself, not a hash of it, and
 * a secret in a table can be read on many roads: SELECT and COPY by superusers,
 * the statistics of ANALYZE, logical decoding, pageinspect, a dump.  None of
 * them has to be closed if what lies in the table is of no use without a key
 * that no SQL shows.
 *
 * That key has to outlive a restart and to be on a standby when it is promoted,
 * also on one that was made before the first secret was.  So it is not in a
 * file of our own: it is derived from the random number that initdb puts into
 * pg_control for the server's own use (it answers SCRAM for roles that do not
 * exist).  All physical copies of a cluster have it; nothing else does, neither
 * a dump nor the cluster that pg_upgrade makes, where roles are enrolled anew.
 * Who can read the files of the server can work out the secrets.
 *
 * The tag binds the secret to its role and to the name of its database.  So
 * nobody gets somebody else's secret by writing the table; and a clone of a
 * database, which would not know which codes were used in the other, takes none.
 *
 * Encryption is by XOR with HMAC-SHA256 of the random salt, which is new for
 * each secret; the tag is HMAC-SHA256 of all the rest.  The two keys and the
 * first are kept apart by a word before the data.
 *
 * No state, no locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "lib/stringinfo.h"

#include "fg_totp_seal.h"

StaticAssertDecl(sizeof(FgTotpSealed) == FG_TOTP_SALT_LENGTH + FG_TOTP_SECRET_LENGTH + FG_HASH_LENGTH,
				 "a sealed secret has no padding");
StaticAssertDecl(FG_TOTP_SECRET_LENGTH <= FG_HASH_LENGTH, "one hash covers a secret");

/* A key of this cluster for one purpose. */
static void
cluster_key(const char *purpose, uint8 key[FG_HASH_LENGTH])
{
	fg_crypto_hmac_sha256(GetMockAuthenticationNonce(), MOCK_AUTH_NONCE_LEN,
						  purpose, strlen(purpose), key);
}

/* The secret from its encrypted form, or the other way round. */
static void
crypt_secret(const uint8 salt[FG_TOTP_SALT_LENGTH], const uint8 from[FG_TOTP_SECRET_LENGTH],
			 uint8 to[FG_TOTP_SECRET_LENGTH])
{
	uint8		key[FG_HASH_LENGTH];
	uint8		stream[FG_HASH_LENGTH];

	cluster_key("fortress_guard totp secret", key);
	fg_crypto_hmac_sha256(key, sizeof(key), salt, FG_TOTP_SALT_LENGTH, stream);
	for (int i = 0; i < FG_TOTP_SECRET_LENGTH; i++)
		to[i] = from[i] ^ stream[i];
	explicit_bzero(key, sizeof(key));
	explicit_bzero(stream, sizeof(stream));
}

static void
make_tag(const FgTotpSealed *sealed, Oid role, const char *database, uint8 tag[FG_HASH_LENGTH])
{
	uint8		key[FG_HASH_LENGTH];
	StringInfoData data;

	/* what has no fixed length comes last */
	initStringInfo(&data);
	appendBinaryStringInfo(&data, (const char *) &role, sizeof(role));
	appendBinaryStringInfo(&data, (const char *) sealed->salt, FG_TOTP_SALT_LENGTH);
	appendBinaryStringInfo(&data, (const char *) sealed->secret, FG_TOTP_SECRET_LENGTH);
	appendStringInfoString(&data, database);
	cluster_key("fortress_guard totp tag", key);
	fg_crypto_hmac_sha256(key, sizeof(key), data.data, data.len, tag);
	explicit_bzero(key, sizeof(key));
	pfree(data.data);
}

void
fg_totp_seal(const uint8 secret[FG_TOTP_SECRET_LENGTH], Oid role, const char *database,
			 FgTotpSealed *sealed)
{
	fg_crypto_random(sealed->salt, FG_TOTP_SALT_LENGTH);
	crypt_secret(sealed->salt, secret, sealed->secret);
	make_tag(sealed, role, database, sealed->tag);
}

bool
fg_totp_unseal(const FgTotpSealed *sealed, Oid role, const char *database,
			   uint8 secret[FG_TOTP_SECRET_LENGTH])
{
	uint8		tag[FG_HASH_LENGTH];

	make_tag(sealed, role, database, tag);
	if (!fg_crypto_equal(tag, sealed->tag, FG_HASH_LENGTH))
		return false;
	crypt_secret(sealed->salt, sealed->secret, secret);
	return true;
}
