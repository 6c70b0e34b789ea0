/*-------------------------------------------------------------------------
 *
 * fg_decide.h
 *		One request in, one verdict out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_DECIDE_H
#define FG_DECIDE_H

#include "postgres.h"
#include "fg_auth.h"
#include "fg_policy.h"

/*
 * The account of one statement with one policy: how many rows the statement
 * has counted, the cascades that it set off included.  fg_decide owns it; it
 * lives until fg_decide_close_scope() or the end of the transaction.
 */
typedef struct FgAccount FgAccount;

typedef enum FgQuestion
{
	FG_ASK_ROWS,				/* rows[] were just deleted and updated */
	FG_ASK_WHERE,				/* a statement without a condition */
	FG_ASK_COMMAND,				/* TRUNCATE or DDL */
	FG_ASK_ADMIN,				/* changing the guard itself; needs no policy */
	FG_ASK_DATABASE,			/* DROP DATABASE of one with protected tables;
								 * needs no policy */
	FG_ASK_TAMPERED,			/* the guard's triggers are not as they were made */
	FG_ASK_BLIND,				/* the server does not count rows (track_counts) */
	FG_ASK_TOGETHER,			/* a protected table goes in one command with
								 * the guard; needs no policy */
	FG_ASK_ORPHANED,			/* a table has the guard's triggers, but no
								 * policy; needs none */
	FG_ASK_UNLOADED				/* the library is not preloaded; needs no policy */
} FgQuestion;

typedef struct FgRequest
{
	FgQuestion	question;
	FgOperation op;				/* not for FG_ASK_ROWS */
	const FgPolicy *policy;		/* not for FG_ASK_ROWS */
	Oid			relid;			/* the relation named, may be a partition */
	Oid			role;			/* the role the statement runs as; not for FG_ASK_ROWS */
	int64		n_rows;			/* for FG_ASK_COMMAND: rows that go; 0: not known */
	const char *what;			/* for FG_ASK_COMMAND, _ADMIN and _DATABASE:
								 * "DROP TABLE", the command as the message
								 * names it */
	const char *why;			/* for these: a whole sentence for DETAIL, or NULL */
	const char *object;			/* for FG_ASK_ADMIN and _DATABASE: what it
								 * concerns, as "role \"fortress_admin\"" */
	Oid			database;		/* for both: in whose log the refusal belongs;
								 * InvalidOid: this one's */

	/* for FG_ASK_ROWS */
	FgAccount  *account;
	int			operations;		/* FG_OP_BIT()s of what the statement may do */
	int64		rows[FG_N_ROW_OPERATIONS];	/* since the last look */
} FgRequest;

typedef struct FgVerdict
{
	int64		rows_left;		/* FG_ASK_ROWS: look again after so many more;
								 * FG_ASK_COMMAND: what the permission covers */
	bool		permitted;		/* FG_ASK_COMMAND: let through, so archive first */
} FgVerdict;

extern void fg_decide_setup(void);	/* transaction callbacks, once at load */

/*
 * Returns if the request may pass, with what the entry needs to know in
 * *verdict; otherwise records the refusal and raises the error.
 */
extern void fg_decide(const FgRequest *request, FgVerdict *verdict);

/*
 * The account of statement "scope" with a policy, which the caller has pinned:
 * found or made.  internal: a statement of the guard's own, which asks no limit
 * and uses none up.
 */
extern FgAccount *fg_decide_account(uint64 scope, FgPolicy *policy, Oid role,
									bool internal);
extern const FgPolicy *fg_decide_policy(const FgAccount *account);
/* Ends all accounts of a statement.  Never raises an error. */
extern void fg_decide_close_scope(uint64 scope);

#endif							/* FG_DECIDE_H */
