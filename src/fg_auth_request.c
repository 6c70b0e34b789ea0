/*-------------------------------------------------------------------------
 *
 * fg_auth_request.c
 *		The two-person rule: where an approved request is the only permission,
 *		whose approval it takes, and using one.
 *
 * A request that is used opens a token without a secret (fg_auth_token.c), which
 * has its bounds and names it.  That token is what says that the request was
 * used: it comes with the commit and goes with the rollback.  The request's own
 * row tells what was decided, and is read at each look for a permission; so
 * a rejection counts from the next statement on, also in the transaction
 * that is using the request.
 *
 * A rule does not reach back: what was approved before it stays approved for the
 * time that it was given, and can be rejected.
 *
 * What is refused here (ZG009): using a request that is not one's own, not
 * approved, expired, used, or in use by another transaction.
 *
 * Locks: the request's lock for using, to the end of the transaction, also while
 * it is prepared.  It is not waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/timestamp.h"

#include "fg_auth.h"
#include "fg_auth_token.h"
#include "fg_catalog_auth.h"
#include "fg_catalog_request.h"
#include "fg_errors.h"
#include "fg_event.h"

/* ----------------------------------------------------------------
 *		Rules
 * ----------------------------------------------------------------
 */

/*
 * The rule for an operation: that of the relation before that of all.  NULL:
 * none, any permission will do.
 */
static FgApprovalRule *
find_rule(FgOperation op, Oid relid)
{
	FgApprovalRule *rule = NULL;

	if (OidIsValid(relid))
		rule = fg_catalog_get_rule(relid);
	if (rule == NULL || (rule->operations & FG_OP_BIT(op)) == 0)
		rule = fg_catalog_get_rule(InvalidOid);
	if (rule == NULL || (rule->operations & FG_OP_BIT(op)) == 0)
		return NULL;
	return rule;
}

bool
fg_auth_needs_approval(FgOperation op, Oid relid)
{
	return find_rule(op, relid) != NULL;
}

static List *
add_approvers(List *approvers, const FgApprovalRule *rule)
{
	if (rule == NULL || rule->any_approver)
		return list_append_unique_oid(approvers, get_role_oid("fortress_admin", true));
	return list_append_unique_oid(approvers, rule->approvers);
}

/*
 * Who asks for every table asks for those too that have rules of their own.
 */
List *
fg_auth_approvers(const FgUnlockRequest *request)
{
	List	   *approvers = NIL;

	for (int op = 0; op < FG_N_OPERATIONS; op++)
	{
		ListCell   *lc;

		if ((request->operations & FG_OP_BIT(op)) == 0)
			continue;
		if (request->any_relation)
		{
			approvers = add_approvers(approvers, find_rule((FgOperation) op, InvalidOid));
			foreach(lc, fg_catalog_rules())
			{
				FgApprovalRule *rule = lfirst(lc);

				if ((rule->operations & FG_OP_BIT(op)) != 0)
					approvers = add_approvers(approvers, rule);
			}
		}
		else
		{
			foreach(lc, request->relids)
				approvers = add_approvers(approvers, find_rule((FgOperation) op, lfirst_oid(lc)));
		}
	}
	return approvers;
}

/* ----------------------------------------------------------------
 *		Using a request
 * ----------------------------------------------------------------
 */

const char *
fg_auth_request_state(const FgUnlockRequest *request)
{
	if (fg_catalog_token_by_request(request->id) != NULL)
		return "used";
	switch (request->decision)
	{
		case FG_DECISION_PENDING:
			return "pending";
		case FG_DECISION_REJECTED:
			return "rejected";
		case FG_DECISION_APPROVED:
			break;
	}
	return request->valid_until <= GetCurrentTimestamp() ? "expired" : "approved";
}

bool
fg_auth_request_stands(int64 id)
{
	FgUnlockRequest *request = fg_catalog_get_request(id);

	return request != NULL && request->decision == FG_DECISION_APPROVED;
}

/* Logs and raises ZG009.  "request": NULL for one that is not this role's. */
static void pg_attribute_noreturn()
refuse_request(int64 id, const char *state, const FgUnlockRequest *request)
{
	bool		pending = strcmp(state, "pending") == 0;
	bool		in_use = strcmp(state, "in use") == 0;
	bool		rejected = strcmp(state, "rejected") == 0;
	bool		expired = strcmp(state, "expired") == 0;
	FgEvent		event = {.name = "token_refused",.rows = -1,.max_rows = -1};

	event.role = GetUserId();
	event.detail = psprintf("request " INT64_FORMAT ": %s", id, state);
	event.sqlerrcode = ERRCODE_FG_INVALID_TOKEN;
	fg_event_write(&event);
	ereport(ERROR,
			(errcode(ERRCODE_FG_INVALID_TOKEN),
			 request == NULL ?
			 errmsg("request " INT64_FORMAT " is not one of role \"%s\"",
					id, GetUserNameFromId(GetSessionUserId(), true)) :
			 errmsg("request " INT64_FORMAT " is %s", id, state),
			 pending ? errdetail("Nobody has approved it yet.") :
			 in_use ? errdetail("A transaction that is still running or prepared has unlocked it.") :
			 rejected && request->why != NULL ?
			 errdetail("Role \"%s\" rejected it: %s", request->decided_by, request->why) :
			 expired ? errdetail("It was valid until %s.",
								 timestamptz_to_str(request->valid_until)) :
			 0,
			 pending ? errhint("Try again when somebody else has called fortress.approve_unlock(" INT64_FORMAT ").", id) :
			 in_use ? errhint("Try again when that transaction has ended.") :
			 errhint("Ask for a new one with fortress.request_unlock().")));
}

void
fg_auth_unlock_request(int64 id)
{
	FgUnlockRequest *request = fg_catalog_get_request(id);
	FgTokenRow *used;
	FgTokenRow	row = {0};
	const char *state;

	/* whose it is never changes; the rest is looked at under the lock */
	if (request == NULL || request->requester != GetSessionUserId())
		refuse_request(id, "not one of this role", NULL);
	if (!fg_catalog_lock_request_use(id))
		refuse_request(id, "in use", request);
	request = fg_catalog_get_request(id);
	if (request == NULL)
		refuse_request(id, "not one of this role", NULL);
	used = fg_catalog_token_by_request(id);
	if (used != NULL && request->decision == FG_DECISION_APPROVED &&
		fg_auth_token_reopen(used))
		return;
	state = fg_auth_request_state(request);
	if (strcmp(state, "approved") != 0)
		refuse_request(id, state, request);

	row.any_relation = request->any_relation;
	row.relids = request->relids;
	row.operations = request->operations;
	row.max_rows = request->max_rows;
	row.valid_until = request->valid_until;
	row.uses = 1;
	row.role = request->requester;
	row.reason = request->reason;
	row.origin = FG_TOKEN_REQUEST;
	row.request = id;
	(void) fg_auth_open_own(&row);
}
