/*-------------------------------------------------------------------------
 *
 * fg_decide_account.h
 *		What fg_decide.c needs of the accounts of statements.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_DECIDE_ACCOUNT_H
#define FG_DECIDE_ACCOUNT_H

#include "postgres.h"
#include "lib/ilist.h"
#include "fg_budget.h"
#include "fg_counter.h"
#include "fg_decide.h"

/* rows of one policy in this transaction that count toward its limits */
typedef struct FgTotal
{
	dlist_node	link;
	Oid			policy;
	FgCounter	rows[FG_N_ROW_OPERATIONS];
} FgTotal;

/* A limit of the policy as it counts for one statement. */
typedef struct FgBound
{
	const FgLimit *limit;
	int64		max_rows;		/* fraction resolved */
	FgWindowKey key;			/* for FG_PER_INTERVAL */
} FgBound;

/* Those of one operation, in their order. */
typedef struct FgBounds
{
	const FgBound *first;		/* per statement and per transaction */
	int			n;
	const FgBound *windows;		/* per interval */
	int			n_windows;
} FgBounds;

struct FgAccount
{
	dlist_node	link;
	uint64		scope;
	FgPolicy   *policy;			/* its arena is pinned */
	Oid			role;
	FgTotal    *total;
	FgCounter	counted[FG_N_ROW_OPERATIONS];	/* charged to the limits */
	bool		observed[FG_N_ROW_OPERATIONS];	/* over a limit in audit mode */
	FgPermission permission[FG_N_ROW_OPERATIONS];	/* kind NONE: on the limits */

	/* from here on the same for all statements of a session user */
	Oid			session_user;
	bool		lasting;		/* no limit is a part of what there is */
	FgBounds	of[FG_N_ROW_OPERATIONS];
	FgBound		bounds[FLEXIBLE_ARRAY_MEMBER];
};

/* Which limit a statement has exceeded, for messages. */
typedef struct FgExcess
{
	const FgBound *bound;		/* NULL: nothing exceeded */
	int64		rows;			/* what there would be */
	bool		no_room;		/* the table of windows is full */
} FgExcess;

/*
 * Charges n rows to the limits and says which one they exceed, the first in
 * the order statement, transaction, windows.  Rows that exceed a window are
 * reserved all the same with "force"; where a limit is exceeded, all windows
 * have the rows.  *left is lowered to what may still come.
 */
extern void fg_account_charge(FgAccount *account, FgOperation op, int64 n, bool force,
							  int64 *left, FgExcess *excess);
/* Takes all that the statement counted back from the limits. */
extern int64 fg_account_uncharge(FgAccount *account, FgOperation op);
/* A window with more rows than its limit, where they are reserved by force; or NULL. */
extern const FgBound *fg_account_full_window(const FgAccount *account, FgOperation op);
/* After a refusal: what the statement counted stays until the transaction ends. */
extern void fg_account_stick(uint64 scope);
/* At the end of the transaction.  Never raises an error. */
extern void fg_account_end_all(void);

#endif							/* FG_DECIDE_ACCOUNT_H */
