/*-------------------------------------------------------------------------
 *
 * fg_catalog_auth.c
 *		The tables of permission: exemptions, tokens and their uses.
 *
 * The other half of fg_catalog.c, by the same means and for the same reasons.
 * The numbers of the columns below go with fortress_guard--1.0.sql.
 *
 * Exemptions are looked for by reading the whole table: whether a row's role
 * is the one asked for depends on the cluster (see FgExemptionRow), which no
 * index can tell, and the question is only asked when a statement has gone
 * beyond its limits.
 *
 * Nothing is ever deleted here.  What ends gets a date, so that there is always
 * an answer to who had permission when.
 *
 * Locks: readers take AccessShareLock, writers RowExclusiveLock.  Revoking
 * takes ShareUpdateExclusiveLock to the end of the transaction, so that two
 * who revoke the same thing come one after the other while others go on using
 * and issuing.  A use is written only by the one who holds the lock on its
 * number (fg_catalog_lock_token_use), so no two write the same row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "fg_catalog.h"
#include "fg_catalog_auth.h"
#include "fg_catalog_column.h"

/* columns of fortress.exemption */
enum
{
	Anum_exemption_id = 1,
	Anum_exemption_role_oid,
	Anum_exemption_role_name,
	Anum_exemption_role_system,
	Anum_exemption_relation,
	Anum_exemption_operations,
	Anum_exemption_max_rows,
	Anum_exemption_valid_until,
	Anum_exemption_reason,
	Anum_exemption_granted_by,
	Anum_exemption_granted_at,
	Anum_exemption_ended_at,
	Natts_exemption = Anum_exemption_ended_at
};

/* columns of fortress.token */
enum
{
	Anum_token_id = 1,
	Anum_token_hash,
	Anum_token_relations,
	Anum_token_operations,
	Anum_token_max_rows,
	Anum_token_valid_until,
	Anum_token_uses,
	Anum_token_role_oid,
	Anum_token_role_name,
	Anum_token_role_system,
	Anum_token_reason,
	Anum_token_issued_by,
	Anum_token_issued_at,
	Anum_token_revoked_at,
	Anum_token_origin,
	Anum_token_request,
	Natts_token = Anum_token_request
};

/* columns of fortress.token_use */
enum
{
	Anum_use_token = 1,
	Anum_use_number,
	Anum_use_rows,
	Anum_use_session_role,
	Anum_use_used_at,
	Anum_use_xid,
	Natts_use = Anum_use_xid
};

/* rows of a use that a prepared transaction has written */
typedef struct PreparedUse
{
	int			number;
	int64		rows;
} PreparedUse;

/* ----------------------------------------------------------------
 *		Rows
 * ----------------------------------------------------------------
 */

static void
scan_by_id(FgScan *scan, const char *name, const char *index, LOCKMODE lockmode, int64 id)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	fg_scan_begin(scan, name, index, lockmode, 1, &key);
}

/*
 * Dates the end of the row "id" in column "attnum".  False: there is no such
 * row, or it has ended already.
 */
static bool
end_row(const char *name, const char *index, int64 id, int attnum)
{
	FgScan		scan;
	HeapTuple	tuple;
	bool		live;

	scan_by_id(&scan, name, index, ShareUpdateExclusiveLock, id);
	tuple = fg_scan_next(&scan);
	live = tuple != NULL && fg_column_is_null(tuple, scan.rel, attnum);
	if (live)
	{
		int			n_atts = RelationGetNumberOfAttributes(scan.rel);
		Datum	   *values = palloc0(sizeof(Datum) * n_atts);
		bool	   *nulls = palloc0(sizeof(bool) * n_atts);
		bool	   *replace = palloc0(sizeof(bool) * n_atts);
		HeapTuple	changed;

		values[attnum - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
		replace[attnum - 1] = true;
		changed = heap_modify_tuple(tuple, RelationGetDescr(scan.rel),
									values, nulls, replace);
		CatalogTupleUpdate(scan.rel, &tuple->t_self, changed);
	}
	fg_scan_end(&scan);
	CommandCounterIncrement();
	return live;
}

/* ----------------------------------------------------------------
 *		Exemptions
 * ----------------------------------------------------------------
 */

int64
fg_catalog_add_exemption(const FgExemptionRow *row)
{
	int64		id = fg_catalog_nextval("exemption_id_seq");
	Datum		values[Natts_exemption] = {0};
	bool		nulls[Natts_exemption] = {false};

	values[Anum_exemption_id - 1] = Int64GetDatum(id);
	fg_column_put_role(row->role, Anum_exemption_role_oid, values);
	nulls[Anum_exemption_relation - 1] = !OidIsValid(row->relid);
	values[Anum_exemption_relation - 1] = ObjectIdGetDatum(row->relid);
	values[Anum_exemption_operations - 1] = fg_column_operations(row->operations);
	fg_column_put_bound(row->max_rows, Anum_exemption_max_rows, values, nulls);
	nulls[Anum_exemption_valid_until - 1] = TIMESTAMP_IS_NOEND(row->valid_until);
	values[Anum_exemption_valid_until - 1] = TimestampTzGetDatum(row->valid_until);
	fg_column_put_text(row->reason, Anum_exemption_reason, values, nulls);
	values[Anum_exemption_granted_by - 1] = fg_column_role_name(GetSessionUserId());
	values[Anum_exemption_granted_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	nulls[Anum_exemption_ended_at - 1] = true;
	fg_column_insert_row("exemption", values, nulls);
	return id;
}

static FgExemptionRow *
exemption_from_row(HeapTuple tuple, Relation rel, Oid role)
{
	FgExemptionRow *row = palloc0(sizeof(FgExemptionRow));
	bool		isnull;
	Datum		value;

	row->id = DatumGetInt64(fg_column_required(tuple, rel, Anum_exemption_id));
	row->role = role;
	value = fg_column_value(tuple, rel, Anum_exemption_relation, &isnull);
	row->relid = isnull ? InvalidOid : DatumGetObjectId(value);
	row->operations =
		fg_column_get_operations(fg_column_required(tuple, rel, Anum_exemption_operations));
	row->max_rows = fg_column_get_bound(tuple, rel, Anum_exemption_max_rows);
	value = fg_column_value(tuple, rel, Anum_exemption_valid_until, &isnull);
	row->valid_until = isnull ? DT_NOEND : DatumGetTimestampTz(value);
	row->reason = fg_column_get_text(tuple, rel, Anum_exemption_reason);
	return row;
}

List *
fg_catalog_exemptions_of(Oid role)
{
	FgScan		scan;
	HeapTuple	tuple;
	TimestampTz now = GetCurrentTimestamp();
	List	   *rows = NIL;

	fg_scan_begin(&scan, "exemption", NULL, AccessShareLock, 0, NULL);
	while ((tuple = fg_scan_next(&scan)) != NULL)
	{
		bool		isnull;
		Datum		value;
		Oid			exempt;

		if (!fg_column_is_null(tuple, scan.rel, Anum_exemption_ended_at))
			continue;
		value = fg_column_value(tuple, scan.rel, Anum_exemption_valid_until, &isnull);
		if (!isnull && DatumGetTimestampTz(value) <= now)
			continue;
		exempt = fg_column_get_role(tuple, scan.rel, Anum_exemption_role_oid);
		if (!OidIsValid(exempt) || (OidIsValid(role) && exempt != role))
			continue;
		rows = lappend(rows, exemption_from_row(tuple, scan.rel, exempt));
	}
	fg_scan_end(&scan);
	return rows;
}

bool
fg_catalog_exemption_ended(int64 id)
{
	FgScan		scan;
	HeapTuple	tuple;
	bool		ended;

	scan_by_id(&scan, "exemption", "exemption_pkey", AccessShareLock, id);
	tuple = fg_scan_next(&scan);
	ended = tuple == NULL || !fg_column_is_null(tuple, scan.rel, Anum_exemption_ended_at);
	fg_scan_end(&scan);
	return ended;
}

bool
fg_catalog_end_exemption(int64 id)
{
	return end_row("exemption", "exemption_pkey", id, Anum_exemption_ended_at);
}

/* ----------------------------------------------------------------
 *		Tokens
 * ----------------------------------------------------------------
 */

/* in the order of FgTokenOrigin */
static const char *const origin_names[] = {"secret", "request", "totp"};

static FgTokenOrigin
origin_from_datum(Datum datum)
{
	char	   *name = TextDatumGetCString(datum);

	for (int i = 0; i < lengthof(origin_names); i++)
	{
		if (strcmp(origin_names[i], name) == 0)
			return (FgTokenOrigin) i;
	}
	elog(ERROR, "unknown origin \"%s\" of a token", name);
}

static bytea *
hash_to_bytea(const uint8 *hash)
{
	bytea	   *result = palloc(VARHDRSZ + FG_HASH_LENGTH);

	SET_VARSIZE(result, VARHDRSZ + FG_HASH_LENGTH);
	memcpy(VARDATA(result), hash, FG_HASH_LENGTH);
	return result;
}

int64
fg_catalog_add_token(const FgTokenRow *row)
{
	int64		id = fg_catalog_nextval("token_id_seq");
	Datum		values[Natts_token] = {0};
	bool		nulls[Natts_token] = {false};

	values[Anum_token_id - 1] = Int64GetDatum(id);
	values[Anum_token_hash - 1] = PointerGetDatum(hash_to_bytea(row->hash));
	nulls[Anum_token_relations - 1] = row->any_relation;
	if (!row->any_relation)
		values[Anum_token_relations - 1] = fg_column_relids(row->relids);
	values[Anum_token_operations - 1] = fg_column_operations(row->operations);
	fg_column_put_bound(row->max_rows, Anum_token_max_rows, values, nulls);
	values[Anum_token_valid_until - 1] = TimestampTzGetDatum(row->valid_until);
	nulls[Anum_token_uses - 1] = row->uses < 0;
	values[Anum_token_uses - 1] = Int32GetDatum(row->uses);
	if (row->any_role)
	{
		nulls[Anum_token_role_oid - 1] = true;
		nulls[Anum_token_role_name - 1] = true;
		nulls[Anum_token_role_system - 1] = true;
	}
	else
		fg_column_put_role(row->role, Anum_token_role_oid, values);
	fg_column_put_text(row->reason, Anum_token_reason, values, nulls);
	values[Anum_token_issued_by - 1] = fg_column_role_name(GetSessionUserId());
	values[Anum_token_issued_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	nulls[Anum_token_revoked_at - 1] = true;
	values[Anum_token_origin - 1] = CStringGetTextDatum(origin_names[row->origin]);
	nulls[Anum_token_request - 1] = row->request == 0;
	values[Anum_token_request - 1] = Int64GetDatum(row->request);
	fg_column_insert_row("token", values, nulls);
	return id;
}

/* Ends the scan; the first row of it as a struct, or NULL. */
static FgTokenRow *
token_from_scan(FgScan *scan)
{
	HeapTuple	tuple = fg_scan_next(scan);
	FgTokenRow *row = NULL;

	if (tuple != NULL)
	{
		Relation	rel = scan->rel;
		bytea	   *hash;
		bool		isnull;
		Datum		value;

		row = palloc0(sizeof(FgTokenRow));
		row->id = DatumGetInt64(fg_column_required(tuple, rel, Anum_token_id));
		hash = DatumGetByteaPP(fg_column_required(tuple, rel, Anum_token_hash));
		if (VARSIZE_ANY_EXHDR(hash) != FG_HASH_LENGTH)
			elog(ERROR, "hash of token " INT64_FORMAT " has a wrong length", row->id);
		memcpy(row->hash, VARDATA_ANY(hash), FG_HASH_LENGTH);
		value = fg_column_value(tuple, rel, Anum_token_relations, &isnull);
		row->any_relation = isnull;
		if (!isnull)
			row->relids = fg_column_get_relids(value);
		row->operations =
			fg_column_get_operations(fg_column_required(tuple, rel, Anum_token_operations));
		row->max_rows = fg_column_get_bound(tuple, rel, Anum_token_max_rows);
		row->valid_until =
			DatumGetTimestampTz(fg_column_required(tuple, rel, Anum_token_valid_until));
		value = fg_column_value(tuple, rel, Anum_token_uses, &isnull);
		row->uses = isnull ? -1 : DatumGetInt32(value);
		row->any_role = fg_column_is_null(tuple, rel, Anum_token_role_oid);
		if (!row->any_role)
			row->role = fg_column_get_role(tuple, rel, Anum_token_role_oid);
		row->reason = fg_column_get_text(tuple, rel, Anum_token_reason);
		row->revoked = !fg_column_is_null(tuple, rel, Anum_token_revoked_at);
		row->origin = origin_from_datum(fg_column_required(tuple, rel, Anum_token_origin));
		value = fg_column_value(tuple, rel, Anum_token_request, &isnull);
		row->request = isnull ? 0 : DatumGetInt64(value);
	}
	fg_scan_end(scan);
	return row;
}

FgTokenRow *
fg_catalog_token_by_hash(const uint8 *hash)
{
	FgScan		scan;
	ScanKeyData key;

	ScanKeyInit(&key, Anum_token_hash, BTEqualStrategyNumber, F_BYTEAEQ,
				PointerGetDatum(hash_to_bytea(hash)));
	fg_scan_begin(&scan, "token", "token_hash_key", AccessShareLock, 1, &key);
	return token_from_scan(&scan);
}

FgTokenRow *
fg_catalog_token_by_id(int64 id)
{
	FgScan		scan;

	scan_by_id(&scan, "token", "token_pkey", AccessShareLock, id);
	return token_from_scan(&scan);
}

FgTokenRow *
fg_catalog_token_by_request(int64 request)
{
	FgScan		scan;
	ScanKeyData key;

	ScanKeyInit(&key, Anum_token_request, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(request));
	fg_scan_begin(&scan, "token", "token_request_key", AccessShareLock, 1, &key);
	return token_from_scan(&scan);
}

bool
fg_catalog_revoke_token(int64 id)
{
	return end_row("token", "token_pkey", id, Anum_token_revoked_at);
}

/* ----------------------------------------------------------------
 *		Uses of tokens
 * ----------------------------------------------------------------
 */

static int
use_number(HeapTuple tuple, Relation rel)
{
	return DatumGetInt32(fg_column_required(tuple, rel, Anum_use_number));
}

static int64
use_rows(HeapTuple tuple, Relation rel)
{
	return DatumGetInt64(fg_column_required(tuple, rel, Anum_use_rows));
}

/*
 * The uses that prepared transactions have written: PREPARE TRANSACTION ends
 * their reservation in shared memory, but no MVCC snapshot shows them yet.  A
 * dirty snapshot does.  Rows of a transaction that still runs are left out:
 * it holds its reservation until it commits.
 */
static List *
prepared_uses(int64 id)
{
	Relation	rel = table_open(fg_catalog_relation("token_use"), AccessShareLock);
	SnapshotData dirty;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *found = NIL;

	InitDirtySnapshot(dirty);
	ScanKeyInit(&key, Anum_use_token, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	scan = systable_beginscan(rel, fg_catalog_relation("token_use_pkey"), true,
							  &dirty, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		PreparedUse *use;

		/* set for a row that a transaction in progress has inserted */
		if (!TransactionIdIsValid(dirty.xmin))
			continue;
		if (BackendXidGetPid(dirty.xmin) != 0)
			continue;
		use = palloc(sizeof(PreparedUse));
		use->number = use_number(tuple, rel);
		use->rows = use_rows(tuple, rel);
		found = lappend(found, use);
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
	return found;
}

/*
 * The prepared ones are read first: one that commits in between is then seen
 * by the snapshot of the second scan, and counts once because the larger
 * number of rows of a use is taken.
 */
void
fg_catalog_token_uses(int64 id, Bitmapset **numbers, int64 *rows)
{
	List	   *prepared = rows != NULL ? prepared_uses(id) : NIL;
	FgScan		scan;
	HeapTuple	tuple;
	int64		sum = 0;
	ListCell   *cell;

	if (numbers != NULL)
		*numbers = NULL;
	scan_by_id(&scan, "token_use", "token_use_pkey", AccessShareLock, id);
	while ((tuple = fg_scan_next(&scan)) != NULL)
	{
		int			number = use_number(tuple, scan.rel);
		int64		taken = use_rows(tuple, scan.rel);

		foreach(cell, prepared)
		{
			PreparedUse *use = lfirst(cell);

			if (use->number == number)
			{
				taken = Max(taken, use->rows);
				prepared = foreach_delete_current(prepared, cell);
			}
		}
		sum += taken;
		if (numbers != NULL)
			*numbers = bms_add_member(*numbers, number);
	}
	fg_scan_end(&scan);

	foreach(cell, prepared)
		sum += ((PreparedUse *) lfirst(cell))->rows;
	if (rows != NULL)
		*rows = sum;
}

int
fg_catalog_last_token_use(int64 id)
{
	Relation	rel = table_open(fg_catalog_relation("token_use"), AccessShareLock);
	Relation	index = index_open(fg_catalog_relation("token_use_pkey"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			last = 0;

	ScanKeyInit(&key, Anum_use_token, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	scan = systable_beginscan_ordered(rel, index, NULL, 1, &key);
	tuple = systable_getnext_ordered(scan, BackwardScanDirection);
	if (tuple != NULL)
		last = use_number(tuple, rel);
	systable_endscan_ordered(scan);
	index_close(index, NoLock);
	table_close(rel, NoLock);
	return last;
}

static void
scan_use(FgScan *scan, LOCKMODE lockmode, int64 id, int number)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], Anum_use_token, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	ScanKeyInit(&keys[1], Anum_use_number, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(number));
	fg_scan_begin(scan, "token_use", "token_use_pkey", lockmode, 2, keys);
}

bool
fg_catalog_token_use_exists(int64 id, int number)
{
	FgScan		scan;
	bool		exists;

	scan_use(&scan, AccessShareLock, id, number);
	exists = fg_scan_next(&scan) != NULL;
	fg_scan_end(&scan);
	return exists;
}

/*
 * The lock has 16 bits for the number, so that numbers 65536 apart share one:
 * then the later one is passed over while the other is in use.
 */
bool
fg_catalog_lock_token_use(int64 id, int number)
{
	LOCKTAG		tag;
	ResourceOwner owner = CurrentResourceOwner;
	LockAcquireResult result;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, fg_catalog_relation("token"),
					   (uint32) id, (uint16) number);
	/* not the portal's, which can outlive the subtransaction */
	CurrentResourceOwner = CurTransactionResourceOwner;
	result = LockAcquire(&tag, ExclusiveLock, false, true);
	CurrentResourceOwner = owner;
	return result != LOCKACQUIRE_NOT_AVAIL;
}

void
fg_catalog_add_token_use(int64 id, int number, int64 rows)
{
	FgScan		scan;
	HeapTuple	old;
	HeapTuple	made;
	Datum		values[Natts_use];
	bool		nulls[Natts_use] = {false};

	scan_use(&scan, RowExclusiveLock, id, number);
	old = fg_scan_next(&scan);
	if (old != NULL)
		rows += use_rows(old, scan.rel);
	values[Anum_use_token - 1] = Int64GetDatum(id);
	values[Anum_use_number - 1] = Int32GetDatum(number);
	values[Anum_use_rows - 1] = Int64GetDatum(rows);
	values[Anum_use_session_role - 1] = fg_column_role_name(GetSessionUserId());
	values[Anum_use_used_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[Anum_use_xid - 1] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	made = heap_form_tuple(RelationGetDescr(scan.rel), values, nulls);
	if (old != NULL)
		CatalogTupleUpdate(scan.rel, &old->t_self, made);
	else
		CatalogTupleInsert(scan.rel, made);
	fg_scan_end(&scan);
	CommandCounterIncrement();
}
