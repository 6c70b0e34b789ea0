/*-------------------------------------------------------------------------
 *
 * fg_catalog_child.c
 *		The table fortress.subtransaction.
 *
 * Another part of fg_catalog.c, by the same means and for the same reasons.  The
 * numbers of the columns below go with fortress_guard--1.0.sql.
 *
 * A row version bears the number of the subtransaction that made it, and the
 * server forgets soon which transaction that was a part of.  Undo has to know it
 * for as long as archives are kept.
 *
 * Locks: readers take AccessShareLock, writers RowExclusiveLock, and who removes
 * old rows ShareUpdateExclusiveLock besides, which keeps two of these apart.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/indexing.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "fg_catalog.h"
#include "fg_catalog_child.h"
#include "fg_catalog_column.h"

/* columns of fortress.subtransaction */
enum
{
	Anum_child_xid = 1,
	Anum_child_at,
	Anum_child_children,
	Natts_child = Anum_child_children
};

ArrayType *
fg_catalog_xid_array(const TransactionId *xids, int n_xids)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(n_xids, 1));
	ArrayType  *array;

	for (int i = 0; i < n_xids; i++)
		values[i] = TransactionIdGetDatum(xids[i]);
	array = construct_array(values, n_xids, XIDOID, sizeof(TransactionId), true, TYPALIGN_INT);
	pfree(values);
	return array;
}

/* Opens the table to find what is kept of a transaction. */
static void
scan_by_xid(FgScan *scan, FullTransactionId xid, LOCKMODE lockmode)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_XID8EQ, FullTransactionIdGetDatum(xid));
	fg_scan_begin(scan, "subtransaction", "subtransaction_pkey", lockmode, 1, &key);
}

void
fg_catalog_put_children(FullTransactionId xid, const TransactionId *children, int n_children)
{
	Datum		values[Natts_child];
	bool		nulls[Natts_child] = {false};
	FgScan		scan;
	HeapTuple	tuple;

	/* a cluster whose counter was set back must not fail here */
	scan_by_xid(&scan, xid, RowExclusiveLock);
	while ((tuple = fg_scan_next(&scan)) != NULL)
		CatalogTupleDelete(scan.rel, &tuple->t_self);
	fg_scan_end(&scan);

	values[Anum_child_xid - 1] = FullTransactionIdGetDatum(xid);
	values[Anum_child_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[Anum_child_children - 1] = PointerGetDatum(fg_catalog_xid_array(children, n_children));
	fg_column_insert_row("subtransaction", values, nulls);
}

int
fg_catalog_get_children(FullTransactionId xid, TransactionId **children)
{
	FgScan		scan;
	HeapTuple	tuple;
	int			n_children = 0;

	*children = NULL;
	scan_by_xid(&scan, xid, AccessShareLock);
	tuple = fg_scan_next(&scan);
	if (tuple != NULL)
	{
		ArrayType  *array = DatumGetArrayTypeP(fg_column_required(tuple, scan.rel, Anum_child_children));
		Datum	   *values;

		deconstruct_array(array, XIDOID, sizeof(TransactionId), true, TYPALIGN_INT, &values, NULL, &n_children);
		*children = palloc(sizeof(TransactionId) * Max(n_children, 1));
		for (int i = 0; i < n_children; i++)
			(*children)[i] = DatumGetTransactionId(values[i]);
	}
	fg_scan_end(&scan);
	return n_children;
}

void
fg_catalog_forget_children(TimestampTz before, bool wait)
{
	Oid			relid = fg_catalog_relation("subtransaction");
	FgScan		scan;
	HeapTuple	tuple;

	/* of two who remove the same rows, one would fail */
	if (wait)
		LockRelationOid(relid, ShareUpdateExclusiveLock);
	else if (!ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock))
		return;
	fg_scan_begin(&scan, "subtransaction", NULL, RowExclusiveLock, 0, NULL);
	while ((tuple = fg_scan_next(&scan)) != NULL)
	{
		if (DatumGetTimestampTz(fg_column_required(tuple, scan.rel, Anum_child_at)) < before)
			CatalogTupleDelete(scan.rel, &tuple->t_self);
	}
	fg_scan_end(&scan);
}
