/*-------------------------------------------------------------------------
 *
 * fg_permit.c
 *		The SQL functions of permission: exempt, revoke_exemption,
 *		issue_token, unlock, lock, revoke_token.
 *
 * What they mean is in fg_auth.c; here what was done is told as an event.
 * Whoever calls them does so deliberately, with EXECUTE granted, but rights on
 * functions can be granted by mistake; so those that give or take permission
 * ask once more who calls.
 *
 * A secret passes through two of them: issue_token gives it, unlock takes it.
 * Neither an error nor a log line of this file carries it, nor the statement
 * around it.
 *
 * Errors: those of arguments (fg_argument.c), 42704 for an id that does not
 * exist, 42501 for those who may not.
 *
 * Locks: those on the relations that are named (fg_argument.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "fg_argument.h"
#include "fg_auth.h"
#include "fg_catalog_auth.h"
#include "fg_event.h"
#include "fg_label.h"
#include "fg_own.h"
#include "fg_statement.h"

PG_FUNCTION_INFO_V1(fg_exempt);
PG_FUNCTION_INFO_V1(fg_revoke_exemption);
PG_FUNCTION_INFO_V1(fg_issue_token);
PG_FUNCTION_INFO_V1(fg_unlock);
PG_FUNCTION_INFO_V1(fg_lock);
PG_FUNCTION_INFO_V1(fg_revoke_token);

/* ----------------------------------------------------------------
 *		Events
 * ----------------------------------------------------------------
 */

/* The event of what was given or taken; relid InvalidOid: of no one table. */
static void
write_event(const char *name, Oid relid, int64 max_rows, const char *detail)
{
	FgEvent		event = {0};

	event.name = name;
	event.relid = relid;
	event.role = GetUserId();
	event.rows = -1;
	event.max_rows = max_rows;
	event.detail = detail;
	fg_event_queue(&event, true);
}

/* ----------------------------------------------------------------
 *		Exemptions
 * ----------------------------------------------------------------
 */

/*
 * fortress.exempt(role, relation, operations, max_rows, valid_until, reason)
 */
Datum
fg_exempt(PG_FUNCTION_ARGS)
{
	FgExemptionRow row = {0};
	StringInfoData line;
	int64		id;

	fg_own_require_admin("fortress.exempt()", "permission", InvalidOid);
	row.role = fg_argument_role(fcinfo, 0, "role");
	if (!PG_ARGISNULL(1))
	{
		row.relid = PG_GETARG_OID(1);
		fg_argument_check_relation(row.relid);
	}
	row.operations = fg_argument_operations(fcinfo, 2);
	row.max_rows = fg_argument_max_rows(fcinfo, 3);
	row.valid_until = PG_ARGISNULL(4) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(4);
	row.reason = fg_argument_text(fcinfo, 5);

	id = fg_catalog_add_exemption(&row);
	fg_label_exemptions_changed();

	initStringInfo(&line);
	appendStringInfo(&line, "exemption " INT64_FORMAT " of role %s", id,
					 GetUserNameFromId(row.role, false));
	fg_auth_append_bounds(&line, row.operations, row.valid_until);
	if (row.reason != NULL)
		appendStringInfo(&line, ", reason: %s", row.reason);
	write_event("exemption_granted", row.relid, row.max_rows, line.data);
	PG_RETURN_INT64(id);
}

/*
 * fortress.revoke_exemption(id)
 */
Datum
fg_revoke_exemption(PG_FUNCTION_ARGS)
{
	int64		id;

	fg_auth_require_admin();
	fg_argument_require(fcinfo, 0, "id");
	id = PG_GETARG_INT64(0);
	if (!fg_catalog_end_exemption(id))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("exemption " INT64_FORMAT " does not exist or has been revoked", id),
				 errhint("The view fortress.exemptions lists them.")));
	fg_label_exemptions_changed();
	write_event("exemption_revoked", InvalidOid, -1, psprintf("exemption " INT64_FORMAT, id));
	PG_RETURN_VOID();
}

/* ----------------------------------------------------------------
 *		Tokens
 * ----------------------------------------------------------------
 */

/*
 * fortress.issue_token(relations, operations, max_rows, valid_for, uses,
 *						for_role, reason)
 *
 * Nothing but the returned text has the secret; a token whose transaction is
 * rolled back was never issued.
 */
Datum
fg_issue_token(PG_FUNCTION_ARGS)
{
	FgTokenRow	row = {0};
	StringInfoData line;
	ListCell   *cell;
	char	   *secret;
	int64		id;

	fg_own_require_admin("fortress.issue_token()", "permission", InvalidOid);
	row.any_relation = PG_ARGISNULL(0);
	if (!row.any_relation)
		row.relids = fg_argument_relations(fcinfo, 0);
	row.operations = fg_argument_operations(fcinfo, 1);
	row.max_rows = fg_argument_max_rows(fcinfo, 2);
	row.valid_until = fg_argument_end(fcinfo, 3);
	row.uses = PG_ARGISNULL(4) ? -1 : PG_GETARG_INT32(4);
	if (!PG_ARGISNULL(4) && row.uses < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"uses\" must be at least 1"),
				 errhint("NULL means any number of uses.")));
	row.any_role = PG_ARGISNULL(5);
	if (!row.any_role)
		row.role = fg_argument_role(fcinfo, 5, "for_role");
	row.reason = fg_argument_text(fcinfo, 6);

	secret = fg_crypto_new_token();
	fg_crypto_hash(secret, row.hash);
	id = fg_catalog_add_token(&row);

	initStringInfo(&line);
	appendStringInfo(&line, "token " INT64_FORMAT, id);
	fg_auth_append_bounds(&line, row.operations, row.valid_until);
	if (row.uses > 0)
		appendStringInfo(&line, ", uses %d", row.uses);
	if (!row.any_role)
		appendStringInfo(&line, ", role %s", GetUserNameFromId(row.role, false));
	foreach(cell, row.relids)
		appendStringInfo(&line, ", table %s", fg_event_relation(lfirst_oid(cell)));
	if (row.reason != NULL)
		appendStringInfo(&line, ", reason: %s", row.reason);
	write_event("token_issued", InvalidOid, row.max_rows, line.data);
	PG_RETURN_TEXT_P(cstring_to_text(secret));
}

/*
 * fortress.revoke_token(id)
 */
Datum
fg_revoke_token(PG_FUNCTION_ARGS)
{
	int64		id;

	fg_auth_require_admin();
	fg_argument_require(fcinfo, 0, "id");
	id = PG_GETARG_INT64(0);
	if (!fg_catalog_revoke_token(id))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("token " INT64_FORMAT " does not exist or has been revoked", id),
				 errhint("The view fortress.tokens lists them.")));
	write_event("token_revoked", InvalidOid, -1, psprintf("token " INT64_FORMAT, id));
	PG_RETURN_VOID();
}

/*
 * fortress.unlock(token, scope)
 */
Datum
fg_unlock(PG_FUNCTION_ARGS)
{
	char	   *scope;
	bool		session_scope;

	fg_statement_has_secret();
	fg_argument_require(fcinfo, 0, "token");
	fg_argument_require(fcinfo, 1, "scope");
	scope = text_to_cstring(PG_GETARG_TEXT_PP(1));
	session_scope = strcmp(scope, "session") == 0;
	if (!session_scope && strcmp(scope, "transaction") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown scope \"%s\"", scope),
				 errhint("Scopes are transaction and session."),
				 errhidestmt(true), errhidecontext(true)));
	fg_auth_unlock(text_to_cstring(PG_GETARG_TEXT_PP(0)), session_scope);
	PG_RETURN_VOID();
}

/*
 * fortress.lock()
 */
Datum
fg_lock(PG_FUNCTION_ARGS)
{
	fg_auth_lock();
	PG_RETURN_VOID();
}
