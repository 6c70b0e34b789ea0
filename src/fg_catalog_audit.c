/*-------------------------------------------------------------------------
 *
 * fg_catalog_audit.c
 *		The table fortress.audit_log.
 *
 * The log outlives its writer's mistakes and its readers' tampering only if
 * neither can bring the other down.  So the table's columns are compared with
 * what the extension made before anything is read by its position, a row may
 * lack any value, and the worker does not wait for the table's lock: a session
 * that keeps it locked delays the import and nothing else.
 *
 * Rows are numbered without gaps by the one worker that a database has; a
 * sequence would leave gaps after a crash, and a gap is what a removed row
 * looks like.
 *
 * Locks: the writer takes RowExclusiveLock on the table to the end of its
 * transaction, a scan AccessShareLock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/sdir.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/inet.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "fg_catalog.h"
#include "fg_catalog_audit.h"
#include "fg_catalog_column.h"

enum
{
	Anum_audit_id = 1,
	Anum_audit_at,
	Anum_audit_event,
	Anum_audit_operation,
	Anum_audit_relation,
	Anum_audit_rows,
	Anum_audit_max_rows,
	Anum_audit_session_role,
	Anum_audit_actual_role,
	Anum_audit_client_addr,
	Anum_audit_application_name,
	Anum_audit_pid,
	Anum_audit_xid,
	Anum_audit_query,
	Anum_audit_detail,
	Anum_audit_hash,
	Anum_audit_journal,
	Anum_audit_number,
	Natts_audit = Anum_audit_number
};

static const struct
{
	const char *name;
	Oid			type;
}			columns[Natts_audit] = {
	{"id", INT8OID}, {"at", TIMESTAMPTZOID}, {"event", TEXTOID},
	{"operation", TEXTOID}, {"relation", REGCLASSOID}, {"rows", INT8OID},
	{"max_rows", INT8OID}, {"session_role", NAMEOID}, {"actual_role", NAMEOID},
	{"client_addr", INETOID}, {"application_name", TEXTOID}, {"pid", INT4OID},
	{"xid", XID8OID}, {"query", TEXTOID}, {"detail", JSONBOID}, {"hash", BYTEAOID},
	{"journal", INT8OID}, {"number", INT8OID}
};

static void pg_attribute_noreturn()
refuse_altered(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"fortress.audit_log\" is not as the extension made it"),
			 errdetail("%s", detail),
			 errhint("Find out who did it, and make it as the extension's script has it.")));
}

/*
 * An index with an expression or a condition is not filled by the functions that
 * write here, and could bring in somebody's code.
 */
static void
check_indexes(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		bool		plain = heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL) &&
			heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);

		index_close(index, AccessShareLock);
		if (!plain)
			refuse_altered("It has an index with an expression or a condition.");
	}
	list_free(indexes);
}

/* Positions mean what they meant when the table was made; more columns may follow. */
static void
check_columns(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	bool		altered = rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relam != HEAP_TABLE_AM_OID || desc->natts < Natts_audit;

	for (int i = 0; i < Natts_audit && !altered; i++)
		altered = TupleDescAttr(desc, i)->attisdropped ||
			TupleDescAttr(desc, i)->atttypid != columns[i].type;
	if (altered)
		refuse_altered("Its kind or its columns have been altered.");
}

/* What makes those who read the table see something else than what is in it. */
static void
check_appearance(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < Natts_audit; i++)
	{
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), columns[i].name) != 0)
			refuse_altered("Its columns have been renamed.");
	}
	if (rel->rd_rel->relrowsecurity || rel->rd_rules != NULL)
		refuse_altered("It has row security or rules.");
	if (find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL)
		refuse_altered("Another table inherits from it, and its rows show as if they were here.");
}

/* ----------------------------------------------------------------
 *		Writing
 * ----------------------------------------------------------------
 */

bool
fg_audit_open(FgAuditWriter *writer)
{
	Oid			relid = fg_catalog_relation("audit_log");

	if (!ConditionalLockRelationOid(relid, RowExclusiveLock))
		return false;
	writer->rel = table_open(relid, NoLock);
	check_columns(writer->rel);
	check_indexes(writer->rel);
	writer->indexes = CatalogOpenIndexes(writer->rel);
	return true;
}

void
fg_audit_close(FgAuditWriter *writer)
{
	CatalogCloseIndexes(writer->indexes);
	table_close(writer->rel, NoLock);
}

/* The hash of a row; false if it is no hash. */
static bool
row_hash(HeapTuple tuple, TupleDesc desc, uint8 hash[FG_HASH_LENGTH])
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, Anum_audit_hash, desc, &isnull);
	bytea	   *bytes;

	memset(hash, 0, FG_HASH_LENGTH);
	if (isnull)
		return false;
	bytes = DatumGetByteaPP(value);
	if (VARSIZE_ANY_EXHDR(bytes) != FG_HASH_LENGTH)
		return false;
	memcpy(hash, VARDATA_ANY(bytes), FG_HASH_LENGTH);
	return true;
}

static int64
row_id(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, Anum_audit_id, desc, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/* Rows by id, from one end of the index. */
static SysScanDesc
scan_ids(Relation rel, Relation index, Snapshot snapshot, int nkeys, ScanKey keys)
{
	return systable_beginscan_ordered(rel, index, snapshot, nkeys, keys);
}

static Relation
open_id_index(void)
{
	return index_open(fg_catalog_relation("audit_log_pkey"), AccessShareLock);
}

static void
end_of_log(Relation rel, ScanDirection direction, FgAnchor *anchor)
{
	Relation	index = open_id_index();
	SysScanDesc scan = scan_ids(rel, index, NULL, 0, NULL);
	HeapTuple	tuple = systable_getnext_ordered(scan, direction);

	memset(anchor, 0, sizeof(*anchor));
	if (HeapTupleIsValid(tuple))
	{
		anchor->id = row_id(tuple, RelationGetDescr(rel));
		(void) row_hash(tuple, RelationGetDescr(rel), anchor->hash);
	}
	systable_endscan_ordered(scan);
	index_close(index, NoLock);
}

void
fg_audit_ends(FgAuditWriter *writer, FgAnchor *first, FgAnchor *last)
{
	end_of_log(writer->rel, ForwardScanDirection, first);
	end_of_log(writer->rel, BackwardScanDirection, last);
}

void
fg_audit_contiguous_end(FgAuditWriter *writer, FgAnchor *last)
{
	Relation	index = open_id_index();
	SysScanDesc scan = scan_ids(writer->rel, index, NULL, 0, NULL);
	HeapTuple	tuple;

	memset(last, 0, sizeof(*last));
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		int64		id = row_id(tuple, RelationGetDescr(writer->rel));

		if (last->id != 0 && id != last->id + 1)
			break;
		last->id = id;
		(void) row_hash(tuple, RelationGetDescr(writer->rel), last->hash);
	}
	systable_endscan_ordered(scan);
	index_close(index, NoLock);
}

/* The row with an id, or NULL; a copy. */
static HeapTuple
find_id(Relation rel, int64 id)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_audit_id, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	scan = systable_beginscan(rel, fg_catalog_relation("audit_log_pkey"), true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	return tuple;
}

bool
fg_audit_holds(FgAuditWriter *writer, const FgAnchor *anchor)
{
	HeapTuple	tuple = find_id(writer->rel, anchor->id);
	uint8		hash[FG_HASH_LENGTH];

	return tuple != NULL && row_hash(tuple, RelationGetDescr(writer->rel), hash) &&
		memcmp(hash, anchor->hash, FG_HASH_LENGTH) == 0;
}

void
fg_audit_skip(FgAuditWriter *writer, FgAnchor *chain)
{
	while (find_id(writer->rel, chain->id + 1) != NULL)
		chain->id++;
}

FgAuditFound
fg_audit_find(FgAuditWriter *writer, uint64 journal, uint64 number, const FgRecord *record)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	FgAuditFound found = FG_AUDIT_NONE;

	ScanKeyInit(&keys[0], Anum_audit_journal, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum((int64) journal));
	ScanKeyInit(&keys[1], Anum_audit_number, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum((int64) number));
	scan = systable_beginscan(writer->rel, fg_catalog_relation("audit_log_number_key"),
							  true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		no_at;
		bool		no_event;
		Datum		at = heap_getattr(tuple, Anum_audit_at, RelationGetDescr(writer->rel), &no_at);
		Datum		event = heap_getattr(tuple, Anum_audit_event,
										 RelationGetDescr(writer->rel), &no_event);

		found = FG_AUDIT_OTHER;
		if (record == NULL ||
			(!no_at && !no_event && DatumGetTimestampTz(at) == record->at &&
			 strcmp(TextDatumGetCString(event), record->event) == 0))
			found = FG_AUDIT_SAME;
	}
	systable_endscan(scan);
	return found;
}

static void
put_text(char *text, int attnum, Datum *values, bool *nulls)
{
	if (text == NULL)
		return;
	values[attnum - 1] = CStringGetTextDatum(text);
	nulls[attnum - 1] = false;
}

static void
put_name(char *text, int attnum, Datum *values, bool *nulls)
{
	Name		name;

	if (text == NULL)
		return;
	name = palloc0(sizeof(NameData));
	namestrcpy(name, text);
	values[attnum - 1] = NameGetDatum(name);
	nulls[attnum - 1] = false;
}

static void
put_int64(int64 number, bool isnull, int attnum, Datum *values, bool *nulls)
{
	values[attnum - 1] = Int64GetDatum(number);
	nulls[attnum - 1] = isnull;
}

void
fg_audit_append(FgAuditWriter *writer, FgAnchor *chain, uint64 journal, uint64 number,
				FgRecord *record)
{
	TupleDesc	desc = RelationGetDescr(writer->rel);
	Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	FgRecordKey key = {.id = chain->id + 1,.journal = journal,.number = number};
	Datum		detail = DirectFunctionCall1(jsonb_in, CStringGetDatum(record->detail));
	bytea	   *hash = palloc(VARHDRSZ + FG_HASH_LENGTH);
	HeapTuple	tuple;

	record->detail = JsonbToCString(NULL, &DatumGetJsonbP(detail)->root,
									VARSIZE(DatumGetJsonbP(detail)));
	fg_record_hash(&key, record, chain->hash, chain->hash);
	chain->id = key.id;
	SET_VARSIZE(hash, VARHDRSZ + FG_HASH_LENGTH);
	memcpy(VARDATA(hash), chain->hash, FG_HASH_LENGTH);

	memset(nulls, true, sizeof(bool) * desc->natts);
	put_int64(key.id, false, Anum_audit_id, values, nulls);
	values[Anum_audit_at - 1] = TimestampTzGetDatum(record->at);
	nulls[Anum_audit_at - 1] = false;
	put_text(record->event, Anum_audit_event, values, nulls);
	put_text(record->operation, Anum_audit_operation, values, nulls);
	values[Anum_audit_relation - 1] = ObjectIdGetDatum(record->relid);
	nulls[Anum_audit_relation - 1] = !OidIsValid(record->relid);
	put_int64(record->rows, record->rows < 0, Anum_audit_rows, values, nulls);
	put_int64(record->max_rows, record->max_rows < 0, Anum_audit_max_rows, values, nulls);
	put_name(record->session_role, Anum_audit_session_role, values, nulls);
	put_name(record->actual_role, Anum_audit_actual_role, values, nulls);
	if (record->family != 0)
	{
		values[Anum_audit_client_addr - 1] = fg_column_address(record->family, record->address);
		nulls[Anum_audit_client_addr - 1] = false;
	}
	put_text(record->application_name, Anum_audit_application_name, values, nulls);
	values[Anum_audit_pid - 1] = Int32GetDatum(record->pid);
	nulls[Anum_audit_pid - 1] = record->pid == 0;
	values[Anum_audit_xid - 1] = FullTransactionIdGetDatum(FullTransactionIdFromU64(record->xid));
	nulls[Anum_audit_xid - 1] = record->xid == 0;
	put_text(record->query, Anum_audit_query, values, nulls);
	values[Anum_audit_detail - 1] = detail;
	nulls[Anum_audit_detail - 1] = false;
	values[Anum_audit_hash - 1] = PointerGetDatum(hash);
	nulls[Anum_audit_hash - 1] = false;
	put_int64((int64) journal, journal == 0, Anum_audit_journal, values, nulls);
	put_int64((int64) number, number == 0, Anum_audit_number, values, nulls);

	tuple = heap_form_tuple(desc, values, nulls);
	CatalogTupleInsertWithInfo(writer->rel, tuple, writer->indexes);
}

TimestampTz
fg_audit_oldest(FgAuditWriter *writer)
{
	Relation	index = open_id_index();
	SysScanDesc scan = scan_ids(writer->rel, index, NULL, 0, NULL);
	HeapTuple	tuple = systable_getnext_ordered(scan, ForwardScanDirection);
	TimestampTz oldest = 0;

	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		at = heap_getattr(tuple, Anum_audit_at, RelationGetDescr(writer->rel),
									  &isnull);

		/* 0 means none, and is the first moment of the year 2000 */
		oldest = isnull ? 0 : DatumGetTimestampTz(at) == 0 ? 1 : DatumGetTimestampTz(at);
	}
	systable_endscan_ordered(scan);
	index_close(index, NoLock);
	return oldest;
}

/* ----------------------------------------------------------------
 *		Checking
 * ----------------------------------------------------------------
 */

void
fg_audit_scan_begin(FgAuditScan *scan)
{
	scan->rel = table_open(fg_catalog_relation("audit_log"), AccessShareLock);
	check_columns(scan->rel);
	check_appearance(scan->rel);
	scan->index = open_id_index();
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->scan = scan_ids(scan->rel, scan->index, scan->snapshot, 0, NULL);
}

int64
fg_audit_scan_count(FgAuditScan *scan)
{
	TableScanDesc heap = table_beginscan(scan->rel, scan->snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(scan->rel, NULL);
	int64		n = 0;

	while (table_scan_getnextslot(heap, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		n++;
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(heap);
	return n;
}

void
fg_audit_scan_end(FgAuditScan *scan)
{
	systable_endscan_ordered(scan->scan);
	UnregisterSnapshot(scan->snapshot);
	index_close(scan->index, NoLock);
	table_close(scan->rel, NoLock);
}

/*
 * A number that may be missing, which "none" says in C and NULL in the table; a
 * row that says it otherwise was not written by the guard.
 */
static int64
optional(FgAuditRow *row, Datum *values, bool *nulls, int attnum, int64 none)
{
	if (nulls[attnum - 1])
		return none;
	if (DatumGetInt64(values[attnum - 1]) == none)
		row->complete = false;
	return DatumGetInt64(values[attnum - 1]);
}

/* A value that must be there; 0 and "incomplete" where it is not. */
static Datum
needed(FgAuditRow *row, Datum *values, bool *nulls, int attnum)
{
	if (nulls[attnum - 1])
	{
		row->complete = false;
		return (Datum) 0;
	}
	return values[attnum - 1];
}

static char *
get_text(Datum *values, bool *nulls, int attnum)
{
	return nulls[attnum - 1] ? NULL : TextDatumGetCString(values[attnum - 1]);
}

static char *
get_name(Datum *values, bool *nulls, int attnum)
{
	return nulls[attnum - 1] ? NULL : pstrdup(NameStr(*DatumGetName(values[attnum - 1])));
}

static JsonbValue *
find_member(Jsonb *json, const char *key, enum jbvType type, JsonbValue *value)
{
	if (!JB_ROOT_IS_OBJECT(json))
		return NULL;
	value = getKeyJsonValueFromContainer(&json->root, key, strlen(key), value);
	return value != NULL && value->type == type ? value : NULL;
}

/* A whole number of "detail"; 0 where there is none. */
static int64
number_member(Jsonb *json, const char *key)
{
	JsonbValue	found;
	JsonbValue *value = find_member(json, key, jbvNumeric, &found);
	char	   *text;

	if (value == NULL)
		return 0;
	/* through its text, as an error in reading a forged one is not wanted */
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	if (strlen(text) > 18 || strspn(text, "0123456789") != strlen(text))
		return 0;
	return (int64) strtoull(text, NULL, 10);
}

/* A hash in hex digits; false where there is none. */
static bool
hash_member(Jsonb *json, const char *key, uint8 hash[FG_HASH_LENGTH])
{
	JsonbValue	found;
	JsonbValue *value = find_member(json, key, jbvString, &found);
	char		digits[FG_HASH_LENGTH * 2 + 1];

	if (value == NULL || value->val.string.len != FG_HASH_LENGTH * 2)
		return false;
	memcpy(digits, value->val.string.val, FG_HASH_LENGTH * 2);
	digits[FG_HASH_LENGTH * 2] = '\0';
	if (strspn(digits, "0123456789abcdef") != FG_HASH_LENGTH * 2)
		return false;
	(void) hex_decode(digits, FG_HASH_LENGTH * 2, (char *) hash);
	return true;
}

static void
read_detail(FgAuditRow *row, Jsonb *json)
{
	row->record.detail = JsonbToCString(NULL, &json->root, VARSIZE(json));
	row->detail_relid = (Oid) number_member(json, "relid");
	if (row->record.event != NULL && strcmp(row->record.event, "audit_expired") == 0)
	{
		row->base.id = number_member(json, "last");
		row->has_base = row->base.id > 0 && hash_member(json, "hash", row->base.hash);
	}
}

static void
read_row(TupleDesc desc, HeapTuple tuple, FgAuditRow *row)
{
	FgRecord   *record = &row->record;
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	inet	   *address;

	heap_deform_tuple(tuple, desc, values, nulls);

	memset(row, 0, sizeof(*row));
	row->complete = row_hash(tuple, desc, row->hash);
	row->key.id = DatumGetInt64(needed(row, values, nulls, Anum_audit_id));
	row->key.journal = (uint64) optional(row, values, nulls, Anum_audit_journal, 0);
	row->key.number = (uint64) optional(row, values, nulls, Anum_audit_number, 0);

	record->at = DatumGetTimestampTz(needed(row, values, nulls, Anum_audit_at));
	record->relid = (Oid) optional(row, values, nulls, Anum_audit_relation, InvalidOid);
	record->rows = optional(row, values, nulls, Anum_audit_rows, -1);
	record->max_rows = optional(row, values, nulls, Anum_audit_max_rows, -1);
	record->pid = (int32) optional(row, values, nulls, Anum_audit_pid, 0);
	record->xid = (uint64) optional(row, values, nulls, Anum_audit_xid, 0);
	if (!nulls[Anum_audit_client_addr - 1])
	{
		address = DatumGetInetPP(values[Anum_audit_client_addr - 1]);
		record->family = ip_family(address) == PGSQL_AF_INET ? 4 : 6;
		if (ip_bits(address) != ip_maxbits(address))
			row->complete = false;
		memcpy(record->address, ip_addr(address), ip_addrsize(address));
	}
	record->event = get_text(values, nulls, Anum_audit_event);
	record->operation = get_text(values, nulls, Anum_audit_operation);
	record->session_role = get_name(values, nulls, Anum_audit_session_role);
	record->actual_role = get_name(values, nulls, Anum_audit_actual_role);
	record->application_name = get_text(values, nulls, Anum_audit_application_name);
	record->query = get_text(values, nulls, Anum_audit_query);
	if (nulls[Anum_audit_detail - 1])
		row->complete = false;
	else
		read_detail(row, DatumGetJsonbP(values[Anum_audit_detail - 1]));
}

bool
fg_audit_scan_next(FgAuditScan *scan, FgAuditRow *row)
{
	HeapTuple	tuple = systable_getnext_ordered(scan->scan, ForwardScanDirection);

	CHECK_FOR_INTERRUPTS();
	if (!HeapTupleIsValid(tuple))
		return false;
	read_row(RelationGetDescr(scan->rel), tuple, row);
	return true;
}

/* ----------------------------------------------------------------
 *		Retention
 * ----------------------------------------------------------------
 */

/*
 * The hash before a row that is the first of the log: of the event that tells
 * of the removal of the rows before it.
 */
static bool
find_base(Relation rel, Relation index, int64 first, FgAnchor *base)
{
	MemoryContext old;
	MemoryContext context;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = first == 1;

	memset(base, 0, sizeof(*base));
	if (found)
		return true;
	context = AllocSetContextCreate(CurrentMemoryContext, "fortress_guard retention",
									ALLOCSET_DEFAULT_SIZES);
	scan = scan_ids(rel, index, NULL, 0, NULL);
	old = MemoryContextSwitchTo(context);
	while (!found &&
		   HeapTupleIsValid(tuple = systable_getnext_ordered(scan, BackwardScanDirection)))
	{
		FgAuditRow	row;

		read_row(RelationGetDescr(rel), tuple, &row);
		found = row.has_base && row.base.id == first - 1;
		if (found)
			*base = row.base;
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	systable_endscan_ordered(scan);
	MemoryContextDelete(context);
	return found;
}

/*
 * A row that is not as it was written is kept: otherwise whoever changes its
 * time would have it removed, with all traces of that.
 */
int
fg_audit_expire(FgAuditWriter *writer, TimestampTz before, int max, int64 *first,
				FgAnchor *last, bool *altered)
{
	TupleDesc	desc = RelationGetDescr(writer->rel);
	Relation	index = open_id_index();
	MemoryContext old;
	MemoryContext context;
	ItemPointerData *places = palloc(sizeof(ItemPointerData) * max);
	FgAnchor	newest;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		worth = false;
	int			n = 0;

	*altered = false;
	end_of_log(writer->rel, BackwardScanDirection, &newest);
	context = AllocSetContextCreate(CurrentMemoryContext, "fortress_guard retention",
									ALLOCSET_DEFAULT_SIZES);
	scan = scan_ids(writer->rel, index, NULL, 0, NULL);
	old = MemoryContextSwitchTo(context);
	while (n < max &&
		   HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		FgAuditRow	row;
		uint8		hash[FG_HASH_LENGTH];

		MemoryContextReset(context);
		read_row(desc, tuple, &row);
		if (row.record.at >= before || row.key.id >= newest.id)
			break;
		if (n == 0)
		{
			*first = row.key.id;
			*altered = !find_base(writer->rel, index, row.key.id, last);
			last->id = row.key.id - 1;
		}
		fg_record_hash(&row.key, &row.record, last->hash, hash);
		if (*altered || !row.complete || row.key.id != last->id + 1 ||
			memcmp(hash, row.hash, FG_HASH_LENGTH) != 0)
		{
			*altered = true;
			break;
		}
		worth |= !row.has_base;
		last->id = row.key.id;
		memcpy(last->hash, row.hash, FG_HASH_LENGTH);
		places[n++] = tuple->t_self;
	}
	MemoryContextSwitchTo(old);
	systable_endscan_ordered(scan);
	index_close(index, NoLock);
	MemoryContextDelete(context);

	/* to remove what only tells of an earlier removal would never end */
	if (!worth)
		n = 0;
	for (int i = 0; i < n; i++)
		CatalogTupleDelete(writer->rel, &places[i]);
	return n;
}
