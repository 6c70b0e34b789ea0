/*-------------------------------------------------------------------------
 *
 * fg_totp_seal.h
 *		A TOTP secret in a form that may lie in a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_TOTP_SEAL_H
#define FG_TOTP_SEAL_H

#include "postgres.h"
#include "fg_crypto.h"
#include "fg_totp_code.h"

#define FG_TOTP_SALT_LENGTH		16

/* All bytes, without padding: it is stored as it is. */
typedef struct FgTotpSealed
{
	uint8		salt[FG_TOTP_SALT_LENGTH];
	uint8		secret[FG_TOTP_SECRET_LENGTH];	/* encrypted */
	uint8		tag[FG_HASH_LENGTH];
} FgTotpSealed;

/* Encrypts a secret for this role in the database of this name, of this cluster. */
extern void fg_totp_seal(const uint8 secret[FG_TOTP_SECRET_LENGTH], Oid role,
						 const char *database, FgTotpSealed *sealed);
/* False: it was not sealed for that role and database, or not in this cluster. */
extern bool fg_totp_unseal(const FgTotpSealed *sealed, Oid role, const char *database,
						   uint8 secret[FG_TOTP_SECRET_LENGTH]);

#endif							/* FG_TOTP_SEAL_H */
