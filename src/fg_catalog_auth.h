/*-------------------------------------------------------------------------
 *
 * fg_catalog_auth.h
 *		The tables of permission: exemptions, tokens and their uses.
 *
 * The rules of fg_catalog.h hold here too.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_CATALOG_AUTH_H
#define FG_CATALOG_AUTH_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "fg_crypto.h"
#include "fg_types.h"

/*
 * A role is kept by oid, name and the cluster's system identifier: in the
 * cluster where it was written the oid counts (a role that was dropped and
 * made again is another one); in another cluster, after a restore, the name.
 */
typedef struct FgExemptionRow
{
	int64		id;
	Oid			role;			/* InvalidOid: the role is gone */
	Oid			relid;			/* InvalidOid: every protected table */
	int			operations;		/* FG_OP_BIT()s */
	int64		max_rows;		/* per transaction; -1: unbounded */
	TimestampTz valid_until;	/* DT_NOEND: no end */
	const char *reason;			/* NULL: none given */
} FgExemptionRow;

/* How a token is opened. */
typedef enum FgTokenOrigin
{
	FG_TOKEN_SECRET,			/* by whoever has its secret */
	FG_TOKEN_REQUEST,			/* by who asked, after somebody approved */
	FG_TOKEN_TOTP				/* by a one-time code */
} FgTokenOrigin;

typedef struct FgTokenRow
{
	int64		id;
	uint8		hash[FG_HASH_LENGTH];
	bool		any_relation;
	List	   *relids;			/* OidList, if not any_relation */
	int			operations;
	int64		max_rows;		/* over its whole life; -1: unbounded */
	TimestampTz valid_until;
	int			uses;			/* -1: unbounded */
	bool		any_role;
	Oid			role;			/* if not any_role; InvalidOid: it is gone */
	const char *reason;
	bool		revoked;
	FgTokenOrigin origin;
	int64		request;		/* 0: none */
} FgTokenRow;

/* The adding functions give the new id and ignore the one in the row. */
extern int64 fg_catalog_add_exemption(const FgExemptionRow *row);
/* Of FgExemptionRow *, neither expired nor revoked; InvalidOid: of all roles that exist. */
extern List *fg_catalog_exemptions_of(Oid role);
extern bool fg_catalog_exemption_ended(int64 id);	/* revoked or gone; expiry does not count */
extern bool fg_catalog_end_exemption(int64 id); /* false: no such, or ended already */

extern int64 fg_catalog_add_token(const FgTokenRow *row);
extern FgTokenRow *fg_catalog_token_by_hash(const uint8 *hash);	/* NULL: unknown */
extern FgTokenRow *fg_catalog_token_by_id(int64 id);
extern FgTokenRow *fg_catalog_token_by_request(int64 request);	/* NULL: it was not used */
extern bool fg_catalog_revoke_token(int64 id);	/* false: no such, or revoked already */

/*
 * What is spent of a token: the numbers of its committed uses, and the rows
 * that committed and prepared transactions took.  Either may be NULL.
 */
extern void fg_catalog_token_uses(int64 id, Bitmapset **numbers, int64 *rows);
/* The highest number of a committed use; 0: none. */
extern int	fg_catalog_last_token_use(int64 id);
/* Is the use with this number committed? */
extern bool fg_catalog_token_use_exists(int64 id, int number);
/*
 * Locks the use with this number until the (sub)transaction ends, or until a
 * prepared transaction does.  Does not wait: false if another transaction has it.
 */
extern bool fg_catalog_lock_token_use(int64 id, int number);
/* Writes a use, or adds rows to the one that is there, before the transaction
 * commits or is prepared. */
extern void fg_catalog_add_token_use(int64 id, int number, int64 rows);

#endif							/* FG_CATALOG_AUTH_H */
