/*-------------------------------------------------------------------------
 *
 * fg_approve.c
 *		The SQL functions of the two-person rule: request_unlock,
 *		approve_unlock, reject_unlock, unlock_request, require_approval.
 *
 * One asks, another one decides, the first one goes on.  What makes them two:
 * a person is who logged in, and who the session says it is.  Who logged in
 * stays the same through SET ROLE and SET SESSION AUTHORIZATION, so nobody plays
 * both parts in a session; and none of the roles that an approval runs as may be
 * one of those who asked, so a SECURITY DEFINER function of the requester's gets
 * nowhere, whoever is made to call it.  Other functions, of a trigger or a view
 * say, run as whoever meets them; so the statement that the client has sent must
 * name approve_unlock.  A superuser can still make himself a
 * second login.  Both are kept with the request, and the log tells of it.
 *
 * Whether somebody may decide is asked of the session user, a member of the
 * right role or a superuser.  The current role has the right to call the
 * function, so a member who does not inherit says SET ROLE first.  Those whom
 * require_approval() names get the rights that they need by it, and lose them
 * with it.
 *
 * Errors: those of fg_argument.c; 42501 for those who may not, 42704 for a
 * request that does not exist, 55000 for one that was decided, 53400 for one
 * too many.  fg_auth_request.c refuses to open one (ZG009), fg_own.c to change
 * rules without approval where that is the rule (ZG011).
 *
 * Locks: those of fg_argument.c on relations that are named; the request's lock
 * for deciding, and that of the rules (fg_catalog_request.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "fg_argument.h"
#include "fg_auth.h"
#include "fg_catalog.h"
#include "fg_catalog_request.h"
#include "fg_compat.h"
#include "fg_enact.h"
#include "fg_event.h"
#include "fg_guc.h"
#include "fg_own.h"
#include "fg_statement.h"

PG_FUNCTION_INFO_V1(fg_request_unlock);
PG_FUNCTION_INFO_V1(fg_approve_unlock);
PG_FUNCTION_INFO_V1(fg_reject_unlock);
PG_FUNCTION_INFO_V1(fg_unlock_request);
PG_FUNCTION_INFO_V1(fg_require_approval);

/* how many requests of one role may wait for a decision */
#define MAX_PENDING		100

/* the longest of texts that are kept, in bytes */
#define MAX_TEXT		4096

/* ----------------------------------------------------------------
 *		Arguments and events
 * ----------------------------------------------------------------
 */

static void
require_writable(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
}

/* A text argument that must say something. */
static char *
words_argument(FunctionCallInfo fcinfo, int n, const char *argument)
{
	char	   *text;

	fg_argument_require(fcinfo, n, argument);
	text = fg_argument_text(fcinfo, n);
	if (text[strspn(text, " \t\r\n")] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be empty", argument)));
	if (strlen(text) > MAX_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be longer than %d bytes", argument, MAX_TEXT)));
	return fg_statement_redact(text, false);
}

static FgUnlockRequest *
request_argument(FunctionCallInfo fcinfo, int n)
{
	FgUnlockRequest *request;
	int64		id;

	fg_argument_require(fcinfo, n, "request");
	id = PG_GETARG_INT64(n);
	request = fg_catalog_get_request(id);
	if (request == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("request " INT64_FORMAT " does not exist", id),
				 errhint("The view fortress.requests lists them.")));
	return request;
}

/* The event about a request: of its table, if it is for one. */
static void
make_event(FgEvent *event, const char *name, const FgUnlockRequest *request)
{
	memset(event, 0, sizeof(*event));
	event->name = name;
	if (list_length(request->relids) == 1)
		event->relid = linitial_oid(request->relids);
	event->role = GetUserId();
	event->rows = -1;
	event->max_rows = request->max_rows;
}

static void
queue_event(const char *name, const FgUnlockRequest *request, const char *detail)
{
	FgEvent		event;

	make_event(&event, name, request);
	event.detail = detail;
	fg_event_queue(&event, true);
}

/* ----------------------------------------------------------------
 *		Asking
 * ----------------------------------------------------------------
 */

/*
 * Nobody asks for what the server would not let him do anyway: the requests are
 * read by people.
 */
static void
check_rights(Oid relid, int operations)
{
	static const struct
	{
		FgOperation op;
		AclMode		right;
	}			rights[] =
	{
		{FG_OP_DELETE, ACL_DELETE}, {FG_OP_UPDATE, ACL_UPDATE}, {FG_OP_TRUNCATE, ACL_TRUNCATE}
	};
	ObjectType	type = get_relkind_objtype(get_rel_relkind(relid));

	for (int i = 0; i < lengthof(rights); i++)
	{
		if ((operations & FG_OP_BIT(rights[i].op)) == 0 ||
			pg_class_aclcheck(relid, GetUserId(), rights[i].right) == ACLCHECK_OK)
			continue;
		if (rights[i].right == ACL_UPDATE &&
			pg_attribute_aclcheck_all(relid, GetUserId(), ACL_UPDATE, ACLMASK_ANY) == ACLCHECK_OK)
			continue;
		aclcheck_error(ACLCHECK_NO_PRIV, type, get_rel_name(relid));
	}
	if ((operations & FG_OP_BIT(FG_OP_DDL)) != 0 && !fg_compat_owns_relation(relid))
		aclcheck_error(ACLCHECK_NOT_OWNER, type, get_rel_name(relid));
}

/*
 * The rows of the tables that are asked for, all of their partitions and
 * children included, by the planner's estimate; -1: not known, or not a matter of
 * rows.  Does not wait for locks.
 */
static int64
estimate_rows(const FgUnlockRequest *request)
{
	List	   *tops = request->any_relation ? fg_catalog_policy_relids() : request->relids;
	List	   *members = NIL;
	double		sum = 0;
	ListCell   *lc;

	if (request->operations == FG_OP_BIT(FG_OP_ADMIN))
		return -1;
	foreach(lc, tops)
		members = list_concat(members, find_all_inheritors(lfirst_oid(lc), NoLock, NULL));
	list_sort(members, list_oid_cmp);
	list_deduplicate_oid(members);
	foreach(lc, members)
	{
		Relation	rel;
		BlockNumber pages;
		double		rows;
		double		all_visible;

		CHECK_FOR_INTERRUPTS();
		if (!ConditionalLockRelationOid(lfirst_oid(lc), AccessShareLock))
			return -1;
		rel = try_relation_open(lfirst_oid(lc), NoLock);
		if (rel == NULL)
		{
			UnlockRelationOid(lfirst_oid(lc), AccessShareLock);
			continue;
		}
		if (rel->rd_rel->relkind == RELKIND_RELATION)
		{
			estimate_rel_size(rel, NULL, &pages, &rows, &all_visible);
			sum += rows;
		}
		relation_close(rel, AccessShareLock);
	}
	return sum < (double) PG_INT64_MAX ? (int64) sum : PG_INT64_MAX;
}

/* "request 3, for delete, table public.listing, at most 500 rows, ..." */
static char *
describe(const FgUnlockRequest *request)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "request " INT64_FORMAT, request->id);
	fg_auth_append_bounds(&buf, request->operations, DT_NOEND);
	foreach(lc, request->relids)
		appendStringInfo(&buf, ", table %s", fg_event_relation(lfirst_oid(lc)));
	if (request->max_rows >= 0)
		appendStringInfo(&buf, ", at most " INT64_FORMAT " rows", request->max_rows);
	if (request->table_rows >= 0)
		appendStringInfo(&buf, ", of about " INT64_FORMAT, request->table_rows);
	appendStringInfo(&buf, ", reason: %s", request->reason);
	return buf.data;
}

/*
 * fortress.request_unlock(relations, operations, max_rows, reason, valid_for)
 */
Datum
fg_request_unlock(PG_FUNCTION_ARGS)
{
	FgUnlockRequest row = {0};
	const char *application = application_name != NULL ? application_name : "";
	char	   *context = NULL;
	ListCell   *lc;

	require_writable("fortress.request_unlock()");
	row.any_relation = PG_ARGISNULL(0);
	row.operations = fg_argument_operations(fcinfo, 1);
	if (!row.any_relation && (row.operations & FG_OP_BIT(FG_OP_ADMIN)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("operation admin is not one on tables"),
				 errhint("Give NULL for \"relations\".")));
	if (row.any_relation)
		fg_auth_require_admin();
	else
		row.relids = fg_argument_relations(fcinfo, 0);
	foreach(lc, row.relids)
		check_rights(lfirst_oid(lc), row.operations);
	row.max_rows = fg_argument_max_rows(fcinfo, 2);
	row.reason = words_argument(fcinfo, 3, "reason");
	(void) fg_argument_end(fcinfo, 4);
	row.valid_for = *PG_GETARG_INTERVAL_P(4);
	if (fg_catalog_pending_requests(GetSessionUserId()) >= MAX_PENDING)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("role \"%s\" has too many requests that nobody has decided",
						GetUserNameFromId(GetSessionUserId(), false)),
				 errdetail("There can be %d.", MAX_PENDING),
				 errhint("Ask a member of fortress_admin to approve them, or to reject them with fortress.reject_unlock().")));

	row.table_rows = estimate_rows(&row);
	application = fg_statement_clip(fg_statement_redact(application, false), NAMEDATALEN);
	if (fg_context != NULL && fg_context[0] != '\0')
		context = fg_statement_clip(fg_statement_redact(fg_context, false), MAX_TEXT);
	row.id = fg_catalog_add_request(&row, application, context);
	queue_event("approval_requested", &row, describe(&row));
	PG_RETURN_INT64(row.id);
}

/* ----------------------------------------------------------------
 *		Deciding
 * ----------------------------------------------------------------
 */

/* Is this session, as whatever it runs now, one of those who asked? */
static bool
is_requester(const FgUnlockRequest *request)
{
	Oid			mine[] = {GetSessionUserId(), GetAuthenticatedUserId(), GetOuterUserId(), GetUserId()};

	for (int i = 0; i < lengthof(mine); i++)
	{
		if (mine[i] == request->requester || mine[i] == request->login)
			return true;
	}
	return false;
}

/*
 * Is the session user a member of all the roles?  Otherwise *lacking is one of
 * them, InvalidOid for one that is gone.
 */
static bool
is_member(List *roles, Oid *lacking)
{
	Oid			user = GetSessionUserId();
	ListCell   *lc;

	if (superuser_arg(user))
		return true;
	foreach(lc, roles)
	{
		*lacking = lfirst_oid(lc);
		if (!OidIsValid(*lacking) || !is_member_of_role_nosuper(user, *lacking))
			return false;
	}
	return true;
}

/*
 * Does the statement that the client has sent say "approve_unlock"?  Who does not
 * say it himself runs, knowingly or not, what somebody else has written.
 */
static bool
client_says_so(void)
{
	static const char word[] = "approve_unlock";

	for (const char *p = debug_query_string; p != NULL && *p != '\0'; p++)
	{
		if (pg_strncasecmp(p, word, strlen(word)) == 0)
			return true;
	}
	return false;
}

/* What somebody tries who may not is an event, as every attempt is. */
static void
record_refused_decision(const FgUnlockRequest *request, const char *why)
{
	FgEvent		event;

	make_event(&event, "approval_refused", request);
	event.detail = psprintf("request " INT64_FORMAT ": %s", request->id, why);
	event.sqlerrcode = ERRCODE_INSUFFICIENT_PRIVILEGE;
	fg_event_write(&event);
}

static void pg_attribute_noreturn()
refuse_unsaid(const FgUnlockRequest *request)
{
	record_refused_decision(request, "by a function that somebody was made to call");
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("request " INT64_FORMAT " must be approved by a statement that says so",
					request->id),
			 errdetail("fortress.approve_unlock() was called by a function, and the statement that the client has sent does not name it."),
			 errhint("Look what called it.  To approve, run: SELECT fortress.approve_unlock(" INT64_FORMAT ");",
					 request->id)));
}

static void pg_attribute_noreturn()
refuse_decision(const FgUnlockRequest *request, bool own, Oid lacking)
{
	char	   *role = OidIsValid(lacking) ? GetUserNameFromId(lacking, true) : NULL;

	record_refused_decision(request, own ? "by who asked" : "by somebody who may not decide");
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 own ?
			 errmsg("request " INT64_FORMAT " must be approved by somebody else", request->id) :
			 errmsg("permission denied for request " INT64_FORMAT, request->id),
			 own ?
			 errdetail("Neither the role that asked nor the login that it came from can approve it, by whatever road.") :
			 role != NULL ?
			 errdetail("Only superusers and those who logged in as a member of role \"%s\" decide on it.", role) :
			 errdetail("The role that decides on it does not exist any more; only superusers can.")));
}

static void
refuse_state(const FgUnlockRequest *request, const char *state)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("request " INT64_FORMAT " is %s already", request->id, state),
			 request->decided_by != NULL ?
			 errdetail("The last to decide on it was role \"%s\".", request->decided_by) : 0));
}

/*
 * fortress.approve_unlock(request)
 */
Datum
fg_approve_unlock(PG_FUNCTION_ARGS)
{
	FgUnlockRequest *request;
	TimestampTz until;
	Oid			lacking = InvalidOid;

	require_writable("fortress.approve_unlock()");
	request = request_argument(fcinfo, 0);
	if (is_requester(request))
		refuse_decision(request, true, InvalidOid);
	if (!is_member(fg_auth_approvers(request), &lacking))
		refuse_decision(request, false, lacking);
	if (!client_says_so())
		refuse_unsaid(request);

	fg_catalog_lock_request_decision(request->id);
	request = request_argument(fcinfo, 0);
	if (request->decision != FG_DECISION_PENDING)
		refuse_state(request, fg_auth_request_state(request));
	if (!OidIsValid(request->requester))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the role that made request " INT64_FORMAT " does not exist any more",
						request->id)));
	until = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
													TimestampTzGetDatum(GetCurrentTimestamp()),
													IntervalPGetDatum(&request->valid_for)));
	fg_catalog_decide_request(request->id, FG_DECISION_APPROVED, until, NULL);
	queue_event("approval_granted", request,
				psprintf("%s, by %s, until %s", describe(request),
						 GetUserNameFromId(request->requester, false),
						 timestamptz_to_str(until)));
	PG_RETURN_VOID();
}

/*
 * fortress.reject_unlock(request, why)
 *
 * To stop something, being an administrator is enough.
 */
Datum
fg_reject_unlock(PG_FUNCTION_ARGS)
{
	FgUnlockRequest *request;
	const char *state;
	char	   *why;
	bool		own;
	Oid			lacking = InvalidOid;

	require_writable("fortress.reject_unlock()");
	request = request_argument(fcinfo, 0);
	why = words_argument(fcinfo, 1, "why");
	own = GetSessionUserId() == request->requester;
	if (!own && !is_member(fg_auth_approvers(request), &lacking) &&
		!is_member(list_make1_oid(get_role_oid("fortress_admin", true)), &lacking))
		refuse_decision(request, false, lacking);

	fg_catalog_lock_request_decision(request->id);
	request = request_argument(fcinfo, 0);
	state = fg_auth_request_state(request);
	if (strcmp(state, "pending") != 0 && strcmp(state, "approved") != 0)
		refuse_state(request, state);
	fg_catalog_decide_request(request->id, FG_DECISION_REJECTED, DT_NOBEGIN, why);
	queue_event("approval_rejected", request,
				psprintf("request " INT64_FORMAT " %s, %s: %s", request->id, state,
						 own ? "withdrawn" : "rejected", why));
	PG_RETURN_VOID();
}

/*
 * fortress.unlock_request(request)
 */
Datum
fg_unlock_request(PG_FUNCTION_ARGS)
{
	require_writable("fortress.unlock_request()");
	fg_argument_require(fcinfo, 0, "request");
	fg_auth_unlock_request(PG_GETARG_INT64(0));
	PG_RETURN_VOID();
}

/* ----------------------------------------------------------------
 *		Rules
 * ----------------------------------------------------------------
 */

/*
 * fortress.require_approval(relation, operations, approvers)
 */
Datum
fg_require_approval(PG_FUNCTION_ARGS)
{
	FgApprovalRule rule = {0};
	FgApprovalRule *old;
	FgEvent		event = {.name = "policy_changed",.rows = -1,.max_rows = -1};
	StringInfoData line;

	require_writable("fortress.require_approval()");
	fg_own_require_admin("fortress.require_approval()", "the two-person rule", InvalidOid);
	if (!PG_ARGISNULL(0))
	{
		rule.relid = PG_GETARG_OID(0);
		fg_argument_check_relation(rule.relid);
	}
	rule.operations = fg_argument_operations_or_none(fcinfo, 1);
	if (OidIsValid(rule.relid) && (rule.operations & FG_OP_BIT(FG_OP_ADMIN)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("operation admin is not one on tables"),
				 errhint("Give NULL for \"relation\".")));
	rule.any_approver = PG_ARGISNULL(2);
	if (!rule.any_approver)
		rule.approvers = fg_argument_role(fcinfo, 2, "approvers");

	fg_catalog_lock_rules();
	old = fg_catalog_get_rule(rule.relid);
	if (rule.operations != 0)
		fg_catalog_put_rule(&rule);
	else if (!fg_catalog_delete_rule(rule.relid))
		PG_RETURN_VOID();
	if (old != NULL)
		fg_enact_approver(old->approvers);
	fg_enact_approver(rule.approvers);

	initStringInfo(&line);
	if (rule.operations == 0)
		appendStringInfoString(&line, "approval is not required any more");
	else
	{
		appendStringInfoString(&line, "approval is required");
		fg_auth_append_bounds(&line, rule.operations, DT_NOEND);
		if (OidIsValid(rule.approvers))
			appendStringInfo(&line, ", by role %s", GetUserNameFromId(rule.approvers, false));
	}
	event.relid = rule.relid;
	event.role = GetUserId();
	event.detail = line.data;
	fg_event_queue(&event, true);
	PG_RETURN_VOID();
}
