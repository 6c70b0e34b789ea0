/*-------------------------------------------------------------------------
 *
 * fg_permit.c
 *		The SQL functions of permission: exempt, revoke_exemption,
 *		issue_token, unlock, lock, revoke_token.
 *
 * What they mean is in fg_auth.c; here arguments are checked and what was done
 * is written to the server log.  Whoever calls them does so deliberately, with
 * EXECUTE granted, but rights on functions can be granted by mistake; so those
 * that give or take permission ask once more who calls.
 *
 * A secret passes through two of them: issue_token gives it, unlock takes it.
 * Neither an error nor a log line of this file carries it, nor the statement
 * around it.
 *
 * Errors: 22004 for a NULL where a value is needed, 22023 for a value that
 * cannot be meant, 42704 for an id or a role that does not exist, 42501
 * for those who may not.
 *
 * Locks: AccessShareLock on each relation that is named, to the end of
 * the transaction, so that it is still there when the permission is committed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "fg_auth.h"
#include "fg_catalog_auth.h"
#include "fg_event.h"
#include "fg_label.h"
#include "fg_policy.h"
#include "fg_statement.h"

PG_FUNCTION_INFO_V1(fg_exempt);
PG_FUNCTION_INFO_V1(fg_revoke_exemption);
PG_FUNCTION_INFO_V1(fg_issue_token);
PG_FUNCTION_INFO_V1(fg_unlock);
PG_FUNCTION_INFO_V1(fg_lock);
PG_FUNCTION_INFO_V1(fg_revoke_token);

/* ----------------------------------------------------------------
 *		Arguments
 * ----------------------------------------------------------------
 */

static void pg_attribute_noreturn()
refuse_null(const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("argument \"%s\" must not be null", argument),
			 errhidestmt(true), errhidecontext(true)));
}

static void
require_argument(FunctionCallInfo fcinfo, int n, const char *argument)
{
	if (PG_ARGISNULL(n))
		refuse_null(argument);
}

/* The operations of a text[] argument as FG_OP_BIT()s; at least one. */
static int
operations_argument(FunctionCallInfo fcinfo, int n)
{
	Datum	   *names;
	bool	   *nulls;
	int			n_names;
	int			operations = 0;

	require_argument(fcinfo, n, "operations");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), TEXTOID, -1, false, TYPALIGN_INT,
					  &names, &nulls, &n_names);
	for (int i = 0; i < n_names; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"operations\" must not contain nulls")));
		operations |= FG_OP_BIT(fg_parse_operation(TextDatumGetCString(names[i])));
	}
	if (operations == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"operations\" must name at least one operation"),
				 errhint("Operations are delete, update, truncate, ddl and admin.")));
	return operations;
}

/* A bigint argument that bounds rows; -1 where it is null. */
static int64
max_rows_argument(FunctionCallInfo fcinfo, int n)
{
	int64		max_rows;

	if (PG_ARGISNULL(n))
		return -1;
	max_rows = PG_GETARG_INT64(n);
	if (max_rows < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"max_rows\" must not be negative"),
				 errhint("NULL means any number of rows.")));
	return max_rows;
}

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* regrole takes any number, so look whether there is such a role. */
static void
check_role(Oid role)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u does not exist", role)));
}

/*
 * A permission is for the relation that a policy was made for.  A table without
 * one may get it later; but one that is protected only as a part of another
 * would never be asked about, so that the permission would do nothing.
 */
static void
check_relation(Oid relid)
{
	char		relkind;
	char	   *name;
	FgRelation *entry;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	LockRelationOid(relid, AccessShareLock);
	relkind = get_rel_relkind(relid);
	name = get_rel_name(relid);
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an ordinary or partitioned table", name)));

	entry = fg_policy_lookup(relid);
	if (entry == NULL || entry->n_policies == 0)
		return;
	for (int i = 0; i < entry->n_policies; i++)
	{
		if (entry->policies[i]->relid == relid)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("table \"%s\" has no policy of its own", name),
			 errdetail("It is protected as a part of \"%s\".",
					   fg_event_relation(entry->policies[0]->relid)),
			 errhint("Give the permission for that table.")));
}

/* The relations of a regclass[] argument, each once. */
static List *
relations_argument(FunctionCallInfo fcinfo, int n)
{
	Datum	   *oids;
	bool	   *nulls;
	int			n_oids;
	List	   *relids = NIL;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), REGCLASSOID, sizeof(Oid), true,
					  TYPALIGN_INT, &oids, &nulls, &n_oids);
	for (int i = 0; i < n_oids; i++)
	{
		Oid			relid;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"relations\" must not contain nulls")));
		relid = DatumGetObjectId(oids[i]);
		check_relation(relid);
		relids = list_append_unique_oid(relids, relid);
	}
	if (relids == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"relations\" must name at least one table"),
				 errhint("NULL means every protected table.")));
	return relids;
}

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

/* ", for delete, update, until TIME": what a permission is good for */
static void
append_bounds(StringInfo buf, int operations, TimestampTz valid_until)
{
	const char *separator = ", for ";

	for (int op = 0; op < FG_N_OPERATIONS; op++)
	{
		if ((operations & FG_OP_BIT(op)) == 0)
			continue;
		appendStringInfo(buf, "%s%s", separator, fg_operation_name((FgOperation) op));
		separator = ", ";
	}
	if (!TIMESTAMP_IS_NOEND(valid_until))
		appendStringInfo(buf, ", until %s", timestamptz_to_str(valid_until));
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

	fg_auth_require_admin();
	require_argument(fcinfo, 0, "role");
	row.role = PG_GETARG_OID(0);
	check_role(row.role);
	if (!PG_ARGISNULL(1))
	{
		row.relid = PG_GETARG_OID(1);
		check_relation(row.relid);
	}
	row.operations = operations_argument(fcinfo, 2);
	row.max_rows = max_rows_argument(fcinfo, 3);
	row.valid_until = PG_ARGISNULL(4) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(4);
	row.reason = text_argument(fcinfo, 5);

	id = fg_catalog_add_exemption(&row);
	fg_label_exemptions_changed();

	initStringInfo(&line);
	appendStringInfo(&line, "exemption " INT64_FORMAT " of role %s", id,
					 GetUserNameFromId(row.role, false));
	append_bounds(&line, row.operations, row.valid_until);
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
	require_argument(fcinfo, 0, "id");
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

/* The end of "valid_for" from now on; it must lie in the future. */
static TimestampTz
end_of_validity(FunctionCallInfo fcinfo, int n)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end;

	require_argument(fcinfo, n, "valid_for");
	end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												  TimestampTzGetDatum(now),
												  PG_GETARG_DATUM(n)));
	if (end <= now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"valid_for\" must be greater than zero")));
	return end;
}

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

	fg_auth_require_admin();
	row.any_relation = PG_ARGISNULL(0);
	if (!row.any_relation)
		row.relids = relations_argument(fcinfo, 0);
	row.operations = operations_argument(fcinfo, 1);
	row.max_rows = max_rows_argument(fcinfo, 2);
	row.valid_until = end_of_validity(fcinfo, 3);
	row.uses = PG_ARGISNULL(4) ? -1 : PG_GETARG_INT32(4);
	if (!PG_ARGISNULL(4) && row.uses < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"uses\" must be at least 1"),
				 errhint("NULL means any number of uses.")));
	row.any_role = PG_ARGISNULL(5);
	if (!row.any_role)
	{
		row.role = PG_GETARG_OID(5);
		check_role(row.role);
	}
	row.reason = text_argument(fcinfo, 6);

	secret = fg_crypto_new_token();
	fg_crypto_hash(secret, row.hash);
	id = fg_catalog_add_token(&row);

	initStringInfo(&line);
	appendStringInfo(&line, "token " INT64_FORMAT, id);
	append_bounds(&line, row.operations, row.valid_until);
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
	require_argument(fcinfo, 0, "id");
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
	require_argument(fcinfo, 0, "token");
	require_argument(fcinfo, 1, "scope");
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
