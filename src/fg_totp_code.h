/*-------------------------------------------------------------------------
 *
 * fg_totp_code.h
 *		One-time codes that follow the clock (RFC 6238).
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_TOTP_CODE_H
#define FG_TOTP_CODE_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* what RFC 4226 recommends for SHA-1, and 32 letters of base32 without padding */
#define FG_TOTP_SECRET_LENGTH	20
#define FG_TOTP_DIGITS			6
#define FG_TOTP_PERIOD			30	/* seconds of a step */
#define FG_TOTP_DRIFT			1	/* steps that the clock of a phone may be off */

/* The step that a moment lies in. */
extern int64 fg_totp_code_step(TimestampTz at);
/*
 * The step near the moment "at" whose code this is, or -1.  If there are two, the
 * later one.  The time it takes says nothing about the secret or the step.
 */
extern int64 fg_totp_code_match(const uint8 secret[FG_TOTP_SECRET_LENGTH], const char *code,
								TimestampTz at);
/*
 * What an authenticator's camera is shown, and what it puts beside the codes;
 * palloc'd.  "account" is in the encoding of the server.
 */
extern char *fg_totp_code_uri(const uint8 secret[FG_TOTP_SECRET_LENGTH], const char *issuer,
							  const char *account);

#endif							/* FG_TOTP_CODE_H */
