/*-------------------------------------------------------------------------
 *
 * fg_enact.c
 *		Makes a policy that was written count.
 *
 * Policies are written for two reasons: somebody calls protect() and its kin
 * for a table, or a table comes into a schema that is protected.  What has to
 * follow is the same, and is here: triggers and archives are brought into step
 * (fg_apply.c), sessions learn of it, the database's label says that there are
 * policies, and there is an event.
 *
 * The rules of fortress.require_approval() change in the same two ways: by that
 * function, and by dropping the table that one is for.  Whoever they name must be
 * able to read requests and to decide on them, as long as they name him.
 *
 * Locks: for a policy, the caller holds ShareRowExclusiveLock on the relation and
 * all that is below it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "datatype/timestamp.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "fg_apply.h"
#include "fg_catalog.h"
#include "fg_catalog_request.h"
#include "fg_enact.h"
#include "fg_event.h"
#include "fg_install.h"
#include "fg_label.h"
#include "fg_policy.h"

FgLimit
fg_enact_plain_limit(FgOperation op, int64 rows)
{
	FgLimit		limit = {0};

	limit.op = op;
	limit.per = FG_PER_TRANSACTION;
	limit.by = FG_BY_ROLE;
	limit.max_rows = rows;
	limit.max_fraction = -1;
	return limit;
}

void
fg_enact_first_limits(Oid relid, FgOperation op, int64 rows, int64 hourly_rows)
{
	FgLimit		limit = fg_enact_plain_limit(op, rows);

	if (rows >= 0)
		fg_catalog_put_limit(relid, &limit);
	if (hourly_rows >= 0)
	{
		limit.per = FG_PER_INTERVAL;
		limit.interval = USECS_PER_HOUR;
		limit.max_rows = hourly_rows;
		fg_catalog_put_limit(relid, &limit);
	}
}

void
fg_enact_policy(Oid relid, const char *detail)
{
	FgEvent		event = {.name = "policy_changed",.relid = relid,.rows = -1,.max_rows = -1};

	fg_policy_changed(relid);
	fg_label_policies_changed();
	fg_apply_tree(relid);
	event.role = GetUserId();
	event.detail = detail;
	fg_event_queue(&event, true);
}

/* ----------------------------------------------------------------
 *		Who approves
 * ----------------------------------------------------------------
 */

/* GRANT or REVOKE, as the owner of the extension. */
static void
change_right(Oid role, bool grant, ObjectType type, const char *name, const char *right)
{
	GrantStmt  *stmt = makeNode(GrantStmt);
	AccessPriv *privilege = makeNode(AccessPriv);
	RoleSpec   *grantee = makeNode(RoleSpec);

	privilege->priv_name = pstrdup(right);
	grantee->roletype = ROLESPEC_CSTRING;
	grantee->rolename = GetUserNameFromId(role, false);
	grantee->location = -1;
	stmt->is_grant = grant;
	stmt->targtype = ACL_TARGET_OBJECT;
	stmt->objtype = type;
	if (type == OBJECT_FUNCTION)
	{
		ObjectWithArgs *function = makeNode(ObjectWithArgs);

		function->objname = list_make2(makeString("fortress"), makeString(pstrdup(name)));
		function->args_unspecified = true;
		stmt->objects = list_make1(function);
	}
	else
		stmt->objects = list_make1(makeRangeVar("fortress", pstrdup(name), -1));
	stmt->privileges = list_make1(privilege);
	stmt->grantees = list_make1(grantee);
	stmt->behavior = DROP_RESTRICT;
	ExecuteGrantStmt(stmt);
	CommandCounterIncrement();
}

/* Is the role named by a rule? */
static bool
approves(Oid role)
{
	ListCell   *lc;

	foreach(lc, fg_catalog_rules())
	{
		if (((FgApprovalRule *) lfirst(lc))->approvers == role)
			return true;
	}
	return false;
}

void
fg_enact_approver(Oid role)
{
	bool		grant = approves(role);
	bool		admin = role == get_role_oid("fortress_admin", true);
	bool		auditor = role == get_role_oid("fortress_auditor", true);
	FgOwnerState saved;

	fg_label_exemptions_changed();
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)) || role == fg_catalog_owner())
		return;
	fg_install_become_owner(&saved);
	if (!admin)
	{
		change_right(role, grant, OBJECT_FUNCTION, "approve_unlock", "execute");
		change_right(role, grant, OBJECT_FUNCTION, "reject_unlock", "execute");
	}
	if (!admin && !auditor)
		change_right(role, grant, OBJECT_TABLE, "requests", "select");
	fg_install_be_user_again(&saved);
}
