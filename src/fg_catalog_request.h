/*-------------------------------------------------------------------------
 *
 * fg_catalog_request.h
 *		The tables of the two-person rule: what was asked for and decided, and
 *		where nothing else permits.
 *
 * The rules of fg_catalog.h hold here too.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_CATALOG_REQUEST_H
#define FG_CATALOG_REQUEST_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "fg_types.h"

/* What was decided.  That a request was used says the token that it opened. */
typedef enum FgDecision
{
	FG_DECISION_PENDING,
	FG_DECISION_APPROVED,
	FG_DECISION_REJECTED
} FgDecision;

typedef struct FgUnlockRequest
{
	int64		id;
	Oid			requester;		/* the session user; InvalidOid: it is gone */
	Oid			login;			/* who logged in; InvalidOid: it is gone */
	bool		any_relation;
	List	   *relids;			/* OidList, if not any_relation */
	int			operations;		/* FG_OP_BIT()s */
	int64		max_rows;		/* -1: unbounded */
	int64		table_rows;		/* estimate when it was asked for; -1: not known */
	Interval	valid_for;
	const char *reason;
	FgDecision	decision;
	const char *decided_by;		/* NULL while it is pending */
	const char *why;			/* NULL unless it is rejected */
	TimestampTz valid_until;	/* if it is approved */
} FgUnlockRequest;

/* For these operations an approved request is the only permission. */
typedef struct FgApprovalRule
{
	Oid			relid;			/* InvalidOid: every protected table, and the
								 * guard itself */
	int			operations;		/* FG_OP_BIT()s */
	bool		any_approver;	/* of fortress_admin */
	Oid			approvers;		/* if not any_approver; InvalidOid: it is gone */
} FgApprovalRule;

/*
 * Adds a pending request of this session, with who and where it is, and gives its
 * new id.  Of the row it takes what was asked for.
 */
extern int64 fg_catalog_add_request(const FgUnlockRequest *row, const char *application,
									const char *context);
extern FgUnlockRequest *fg_catalog_get_request(int64 id);	/* NULL: no such */
/*
 * Writes a decision of this session.  The caller holds the request's lock for
 * deciding, and has read the request under it.
 */
extern void fg_catalog_decide_request(int64 id, FgDecision decision, TimestampTz valid_until,
									  const char *why);
/* How many pending ones a role has, those of running transactions included. */
extern int	fg_catalog_pending_requests(Oid requester);

/*
 * Locks a request until the (sub)transaction ends: for deciding, which waits
 * for others who decide, and for using, which does not: false if another
 * transaction uses it.  One does not keep the other out.
 */
extern void fg_catalog_lock_request_decision(int64 id);
extern bool fg_catalog_lock_request_use(int64 id);

extern FgApprovalRule *fg_catalog_get_rule(Oid relid);	/* NULL: none */
extern List *fg_catalog_rules(void);	/* of FgApprovalRule *, in no order */
extern void fg_catalog_put_rule(const FgApprovalRule *rule);	/* new or changed */
extern bool fg_catalog_delete_rule(Oid relid);	/* false: there is none */
/* Keeps all others from changing rules until the transaction ends. */
extern void fg_catalog_lock_rules(void);

#endif							/* FG_CATALOG_REQUEST_H */
