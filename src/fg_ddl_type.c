/*-------------------------------------------------------------------------
 *
 * fg_ddl_type.c
 *		Changes of types, as they concern the values of protected tables.
 *
 * ALTER COLUMN TYPE is harmless if the server finds, as it does itself before
 * it decides to rewrite a table, that the stored values can stay as they are
 * (varchar to text, a longer varchar, a numeric with more digits), or if an
 * integer gets wider.  Everything else may change values; whether it does, in
 * a particular case, is not for the guard to find out.
 *
 * A type's values can sit deep inside others: in an array, a domain, a range
 * or an attribute of a composite type, over any number of steps.  pg_depend
 * knows them all.
 *
 * Locks: none; what is read is read with catalog snapshots.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_type.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "fg_ddl_type.h"

/* ----------------------------------------------------------------
 *		ALTER COLUMN TYPE
 * ----------------------------------------------------------------
 */

/* USING the column itself says nothing new. */
static bool
using_says_more(const Node *expression, const char *column)
{
	const ColumnRef *ref = (const ColumnRef *) expression;

	if (expression == NULL)
		return false;
	return !IsA(expression, ColumnRef) || list_length(ref->fields) != 1 ||
		!IsA(linitial(ref->fields), String) ||
		strcmp(strVal(linitial(ref->fields)), column) != 0;
}

static bool
integer_widens(Oid from, Oid to)
{
	return (from == INT2OID && (to == INT4OID || to == INT8OID)) ||
		(from == INT4OID && to == INT8OID);
}

/* Can the stored values stay, if the expression makes new ones of them? */
static bool
expression_keeps_values(Node *expr)
{
	for (;;)
	{
		if (IsA(expr, Var))
			return true;
		if (IsA(expr, RelabelType))
			expr = (Node *) ((RelabelType *) expr)->arg;
		else if (IsA(expr, CoerceToDomain))
			expr = (Node *) ((CoerceToDomain *) expr)->arg;
		else if (IsA(expr, FuncExpr) &&
				 (((FuncExpr *) expr)->funcid == F_TIMESTAMPTZ_TIMESTAMP ||
				  ((FuncExpr *) expr)->funcid == F_TIMESTAMP_TIMESTAMPTZ) &&
				 !TimestampTimestampTzRequiresRewrite())
			expr = linitial(((FuncExpr *) expr)->args);
		else
			return false;
	}
}

bool
fg_ddl_type_keeps_values(Oid relid, AttrNumber attnum, const ColumnDef *def)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
	Form_pg_attribute att;
	Type		new_type;
	Oid			to;
	int32		typmod;
	Node	   *expr;
	bool		keeps = true;

	if (!HeapTupleIsValid(tuple))
		return true;			/* the server says that it is not there */
	att = (Form_pg_attribute) GETSTRUCT(tuple);
	if (using_says_more(def->raw_default, NameStr(att->attname)))
	{
		ReleaseSysCache(tuple);
		return false;
	}
	new_type = LookupTypeName(NULL, def->typeName, &typmod, true);
	if (new_type != NULL)
	{
		to = typeTypeId(new_type);
		ReleaseSysCache(new_type);
		expr = (Node *) makeVar(1, attnum, att->atttypid, att->atttypmod, att->attcollation, 0);
		expr = coerce_to_target_type(NULL, expr, att->atttypid, to, typmod,
									 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
		/* where there is no such cast, the server wants USING and says so */
		if (expr != NULL && !integer_widens(att->atttypid, to))
			keeps = expression_keeps_values((Node *) expression_planner((Expr *) expr));
	}
	ReleaseSysCache(tuple);
	return keeps;
}

/* ----------------------------------------------------------------
 *		Tables with values of a type
 * ----------------------------------------------------------------
 */

/* Adds what depends on one type: tables, and types that hold its values. */
static void
add_dependents(Relation depend, Oid type, List **types, List **tables)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(TypeRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(type));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, keys);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);
		Oid			holder = InvalidOid;

		if (form->classid == TypeRelationId)
			holder = form->objid;
		else if (form->classid == RelationRelationId && form->objsubid > 0)
		{
			char		relkind = get_rel_relkind(form->objid);

			if (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE)
				*tables = list_append_unique_oid(*tables, form->objid);
			holder = get_rel_type_id(form->objid);
		}
		if (OidIsValid(holder))
			*types = list_append_unique_oid(*types, holder);
	}
	systable_endscan(scan);
}

List *
fg_ddl_type_tables(Oid type)
{
	List	   *types = NIL;
	List	   *tables = NIL;
	Relation	depend;

	if (!OidIsValid(type))
		return NIL;
	depend = table_open(DependRelationId, AccessShareLock);
	types = list_make1_oid(type);
	for (int i = 0; i < list_length(types); i++)
		add_dependents(depend, list_nth_oid(types, i), &types, &tables);
	table_close(depend, AccessShareLock);
	list_free(types);
	return tables;
}
