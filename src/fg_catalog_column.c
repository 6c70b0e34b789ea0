/*-------------------------------------------------------------------------
 *
 * fg_catalog_column.c
 *		Columns of the tables of schema fortress, for those who read and write
 *		rows of them.
 *
 * A value goes into a column and comes out of it in one place, so that all
 * tables keep roles, operations and relations alike.  Which column has which
 * number is the business of the file that knows the table.
 *
 * Locks: none of its own; fg_column_insert_row() takes RowExclusiveLock on the
 * table and keeps it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inet.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "fg_catalog.h"
#include "fg_catalog_column.h"
#include "fg_types.h"

Datum
fg_column_value(HeapTuple tuple, Relation rel, int attnum, bool *isnull)
{
	return heap_getattr(tuple, attnum, RelationGetDescr(rel), isnull);
}

Datum
fg_column_required(HeapTuple tuple, Relation rel, int attnum)
{
	bool		isnull;
	Datum		value = fg_column_value(tuple, rel, attnum, &isnull);

	if (isnull)
		elog(ERROR, "null in column %d of relation \"%s\"",
			 attnum, RelationGetRelationName(rel));
	return value;
}

bool
fg_column_is_null(HeapTuple tuple, Relation rel, int attnum)
{
	return heap_attisnull(tuple, attnum, RelationGetDescr(rel));
}

Datum
fg_column_role_name(Oid role)
{
	Name		name = palloc0(sizeof(NameData));
	char	   *found = GetUserNameFromId(role, true);

	if (found != NULL)
		namestrcpy(name, found);
	else
		snprintf(NameStr(*name), NAMEDATALEN, "%u", role);
	return NameGetDatum(name);
}

void
fg_column_put_role(Oid role, int attnum, Datum *values)
{
	values[attnum - 1] = ObjectIdGetDatum(role);
	values[attnum] = fg_column_role_name(role);
	values[attnum + 1] = Int64GetDatum((int64) GetSystemIdentifier());
}

Oid
fg_column_get_role(HeapTuple tuple, Relation rel, int attnum)
{
	Oid			role = DatumGetObjectId(fg_column_required(tuple, rel, attnum));
	Datum		name = fg_column_required(tuple, rel, attnum + 1);
	uint64		written_in = (uint64) DatumGetInt64(fg_column_required(tuple, rel, attnum + 2));

	if (written_in != GetSystemIdentifier())
		return get_role_oid(NameStr(*DatumGetName(name)), true);
	return SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)) ? role : InvalidOid;
}

Datum
fg_column_operations(int operations)
{
	Datum		names[FG_N_OPERATIONS];
	int			n_names = 0;

	for (int op = 0; op < FG_N_OPERATIONS; op++)
	{
		if (operations & FG_OP_BIT(op))
			names[n_names++] = CStringGetTextDatum(fg_operation_name((FgOperation) op));
	}
	return PointerGetDatum(construct_array(names, n_names, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

int
fg_column_get_operations(Datum value)
{
	Datum	   *names;
	bool	   *nulls;
	int			n_names;
	int			operations = 0;

	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT,
					  &names, &nulls, &n_names);
	for (int i = 0; i < n_names; i++)
	{
		if (!nulls[i])
			operations |= FG_OP_BIT(fg_parse_operation(TextDatumGetCString(names[i])));
	}
	return operations;
}

Datum
fg_column_relids(const List *relids)
{
	int			n_relids = list_length(relids);
	Datum	   *oids = palloc(sizeof(Datum) * Max(n_relids, 1));

	for (int i = 0; i < n_relids; i++)
		oids[i] = ObjectIdGetDatum(list_nth_oid(relids, i));
	return PointerGetDatum(construct_array(oids, n_relids, REGCLASSOID, sizeof(Oid),
										   true, TYPALIGN_INT));
}

List *
fg_column_get_relids(Datum value)
{
	Datum	   *oids;
	bool	   *nulls;
	int			n_oids;
	List	   *relids = NIL;

	deconstruct_array(DatumGetArrayTypeP(value), REGCLASSOID, sizeof(Oid), true,
					  TYPALIGN_INT, &oids, &nulls, &n_oids);
	for (int i = 0; i < n_oids; i++)
	{
		if (!nulls[i])
			relids = lappend_oid(relids, DatumGetObjectId(oids[i]));
	}
	return relids;
}

char *
fg_column_get_text(HeapTuple tuple, Relation rel, int attnum)
{
	bool		isnull;
	Datum		value = fg_column_value(tuple, rel, attnum, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

void
fg_column_put_text(const char *text, int attnum, Datum *values, bool *nulls)
{
	nulls[attnum - 1] = text == NULL;
	values[attnum - 1] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

void
fg_column_put_bound(int64 bound, int attnum, Datum *values, bool *nulls)
{
	nulls[attnum - 1] = bound < 0;
	values[attnum - 1] = Int64GetDatum(bound);
}

int64
fg_column_get_bound(HeapTuple tuple, Relation rel, int attnum)
{
	bool		isnull;
	Datum		value = fg_column_value(tuple, rel, attnum, &isnull);

	return isnull ? -1 : DatumGetInt64(value);
}

Datum
fg_column_address(uint8 family, const uint8 *bytes)
{
	inet	   *address = palloc0(sizeof(inet));

	ip_family(address) = family == 4 ? PGSQL_AF_INET : PGSQL_AF_INET6;
	ip_bits(address) = family == 4 ? 32 : 128;
	memcpy(ip_addr(address), bytes, ip_addrsize(address));
	SET_INET_VARSIZE(address);
	return InetPGetDatum(address);
}

void
fg_column_insert_row(const char *name, Datum *values, bool *nulls)
{
	Relation	rel = table_open(fg_catalog_relation(name), RowExclusiveLock);

	CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls));
	table_close(rel, NoLock);
	CommandCounterIncrement();
}
