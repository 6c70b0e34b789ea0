/*-------------------------------------------------------------------------
 *
 * fg_catalog_totp.h
 *		The table of TOTP enrolments, with what was spent of each.
 *
 * The rules of fg_catalog.h hold here too, but for spending: that is done at
 * once and for good, whatever becomes of the transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_CATALOG_TOTP_H
#define FG_CATALOG_TOTP_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "fg_catalog.h"
#include "fg_totp_seal.h"

/* after so many wrong codes in a row an enrolment is locked for so long */
#define FG_TOTP_MAX_WRONG		5
#define FG_TOTP_LOCK_MINUTES	15

typedef enum FgTotpVerdict
{
	FG_TOTP_RIGHT,				/* spent; it will never be right again */
	FG_TOTP_USED,				/* right, but of a step that is spent */
	FG_TOTP_WRONG,
	FG_TOTP_LOCKS,				/* wrong, and the last one for a while */
	FG_TOTP_LOCKED				/* not looked at */
} FgTotpVerdict;

/* An enrolment that is being looked at. */
typedef struct FgTotpScan
{
	FgScan		scan;
	HeapTuple	tuple;
	FgTotpSealed sealed;
} FgTotpScan;

/* Enrols a role, or puts a new secret in the place of the old one. */
extern void fg_catalog_put_totp(Oid role, const FgTotpSealed *sealed);

/* Finds the enrolment of a role; false, with nothing to end, if it has none. */
extern bool fg_catalog_totp_begin(FgTotpScan *scan, Oid role);
/*
 * Spends the step, or with step -1 a wrong attempt, and says how that went; of
 * two sessions with one code one is right.  *until: the end of the lock-out,
 * where there is one.  When this returns, the log of the server (WAL) has it
 * on disk.
 */
extern FgTotpVerdict fg_catalog_totp_spend(FgTotpScan *scan, int64 step, TimestampTz *until);
extern void fg_catalog_totp_end(FgTotpScan *scan);

#endif							/* FG_CATALOG_TOTP_H */
