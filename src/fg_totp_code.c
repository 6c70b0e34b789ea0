/*-------------------------------------------------------------------------
 *
 * fg_totp_code.c
 *		One-time codes that follow the clock (RFC 6238).
 *
 * The number of the 30-second step since 1970 goes through HMAC-SHA1 with the
 * secret, and 31 bits of the result, at a place that the result itself says,
 * give six digits (RFC 4226).  These parameters are those that every
 * authenticator knows; many ignore any others that a URI names.
 *
 * A code is compared with those of all steps that the drift allows, in constant
 * time and without stopping at the right one.
 *
 * No state, no locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/timestamp.h"

#include "fg_crypto.h"
#include "fg_totp_code.h"

/* seconds from 1970 to the moment that timestamps count from */
#define EPOCH_SECONDS	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

#define MODULUS			1000000

StaticAssertDecl(FG_TOTP_SECRET_LENGTH % 5 == 0, "a secret needs no padding in base32");

int64
fg_totp_code_step(TimestampTz at)
{
	return (at / USECS_PER_SEC + EPOCH_SECONDS) / FG_TOTP_PERIOD;
}

/* The code of a step: digits and a terminating zero. */
static void
code_of(const uint8 secret[FG_TOTP_SECRET_LENGTH], int64 step, char code[FG_TOTP_DIGITS + 1])
{
	uint8		counter[8];
	uint8		mac[SHA1_DIGEST_LENGTH];
	int			offset;
	uint32		number;

	for (int i = 0; i < 8; i++)
		counter[i] = (uint8) (step >> (56 - 8 * i));
	fg_crypto_hmac_sha1(secret, FG_TOTP_SECRET_LENGTH, counter, sizeof(counter), mac);
	offset = mac[SHA1_DIGEST_LENGTH - 1] & 0x0f;
	number = ((uint32) (mac[offset] & 0x7f) << 24) | ((uint32) mac[offset + 1] << 16) |
		((uint32) mac[offset + 2] << 8) | (uint32) mac[offset + 3];
	snprintf(code, FG_TOTP_DIGITS + 1, "%06u", number % MODULUS);
	explicit_bzero(mac, sizeof(mac));
}

int64
fg_totp_code_match(const uint8 secret[FG_TOTP_SECRET_LENGTH], const char *code, TimestampTz at)
{
	int64		step = fg_totp_code_step(at);
	int64		found = -1;
	char		given[FG_TOTP_DIGITS + 1] = {0};
	bool		well_formed = strlen(code) == FG_TOTP_DIGITS;

	if (well_formed)
		memcpy(given, code, FG_TOTP_DIGITS);
	for (int drift = -FG_TOTP_DRIFT; drift <= FG_TOTP_DRIFT; drift++)
	{
		char		right[FG_TOTP_DIGITS + 1];

		code_of(secret, step + drift, right);
		if (fg_crypto_equal((uint8 *) given, (uint8 *) right, FG_TOTP_DIGITS))
			found = step + drift;
		explicit_bzero(right, sizeof(right));
	}
	return well_formed ? found : -1;
}

/* Base32 of RFC 4648; five bytes are eight letters. */
static void
append_base32(StringInfo buf, const uint8 *bytes, int length)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

	for (int i = 0; i < length; i += 5)
	{
		uint64		bits = 0;

		for (int j = 0; j < 5; j++)
			bits = (bits << 8) | bytes[i + j];
		for (int shift = 35; shift >= 0; shift -= 5)
			appendStringInfoChar(buf, letters[(bits >> shift) & 31]);
	}
}

/* Whatever is not unreserved in RFC 3986 is written as %XX, in UTF-8. */
static void
append_encoded(StringInfo buf, const char *text)
{
	const char *utf8 = pg_server_to_any(text, strlen(text), PG_UTF8);

	for (const char *p = utf8; *p != '\0'; p++)
	{
		unsigned char c = (unsigned char) *p;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			strchr("-._~", c) != NULL)
			appendStringInfoChar(buf, *p);
		else
			appendStringInfo(buf, "%%%02X", c);
	}
}

char *
fg_totp_code_uri(const uint8 secret[FG_TOTP_SECRET_LENGTH], const char *issuer,
				 const char *account)
{
	StringInfoData uri;

	initStringInfo(&uri);
	appendStringInfoString(&uri, "otpauth://totp/");
	append_encoded(&uri, issuer);
	appendStringInfoChar(&uri, ':');
	append_encoded(&uri, account);
	appendStringInfoString(&uri, "?secret=");
	append_base32(&uri, secret, FG_TOTP_SECRET_LENGTH);
	appendStringInfoString(&uri, "&issuer=");
	append_encoded(&uri, issuer);
	appendStringInfo(&uri, "&algorithm=SHA1&digits=%d&period=%d", FG_TOTP_DIGITS, FG_TOTP_PERIOD);
	return uri.data;
}
