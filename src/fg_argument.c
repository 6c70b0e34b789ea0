/*-------------------------------------------------------------------------
 *
 * fg_argument.c
 *		Arguments of the SQL functions of permission: read and checked.
 *
 * Tokens, exemptions, requests and one-time codes are all for some relations,
 * some operations, so many rows and so long, and say so by arguments of the
 * same names.
 *
 * Errors: 22004 for a NULL where a value is needed, 22023 for a value that
 * cannot be meant, 42704 for a role and 42P01 for a relation that does not
 * exist, 42809 for a relation that a permission cannot be for.
 *
 * Locks: AccessShareLock on each relation that is named, to the end of
 * the transaction, so that it is still there when the permission is committed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "fg_argument.h"
#include "fg_event.h"
#include "fg_policy.h"
#include "fg_types.h"

static void pg_attribute_noreturn()
refuse_null(const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("argument \"%s\" must not be null", argument),
			 errhidestmt(true), errhidecontext(true)));
}

void
fg_argument_require(FunctionCallInfo fcinfo, int n, const char *argument)
{
	if (PG_ARGISNULL(n))
		refuse_null(argument);
}

int
fg_argument_operations_or_none(FunctionCallInfo fcinfo, int n)
{
	Datum	   *names;
	bool	   *nulls;
	int			n_names;
	int			operations = 0;

	fg_argument_require(fcinfo, n, "operations");
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
	return operations;
}

int
fg_argument_operations(FunctionCallInfo fcinfo, int n)
{
	int			operations = fg_argument_operations_or_none(fcinfo, n);

	if (operations == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"operations\" must name at least one operation"),
				 errhint("Operations are delete, update, truncate, ddl and admin.")));
	return operations;
}

int64
fg_argument_max_rows(FunctionCallInfo fcinfo, int n)
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

char *
fg_argument_text(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* regrole takes any number, so look whether there is such a role. */
Oid
fg_argument_role(FunctionCallInfo fcinfo, int n, const char *argument)
{
	Oid			role;

	fg_argument_require(fcinfo, n, argument);
	role = PG_GETARG_OID(n);
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u does not exist", role)));
	return role;
}

/*
 * A permission is for the relation that a policy was made for.  A table without
 * one may get it later; but one that is protected only as a part of another
 * would never be asked about, so that the permission would do nothing.
 */
void
fg_argument_check_relation(Oid relid)
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

List *
fg_argument_relations(FunctionCallInfo fcinfo, int n)
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
		fg_argument_check_relation(relid);
		relids = list_append_unique_oid(relids, relid);
	}
	if (relids == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"relations\" must name at least one table"),
				 errhint("NULL means every protected table.")));
	return relids;
}

TimestampTz
fg_argument_end(FunctionCallInfo fcinfo, int n)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end;

	fg_argument_require(fcinfo, n, "valid_for");
	end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												  TimestampTzGetDatum(now),
												  PG_GETARG_DATUM(n)));
	if (end <= now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"valid_for\" must be greater than zero")));
	return end;
}
