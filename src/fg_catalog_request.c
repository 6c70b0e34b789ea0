/*-------------------------------------------------------------------------
 *
 * fg_catalog_request.c
 *		The tables of the two-person rule: what was asked for and decided, and
 *		where nothing else permits.
 *
 * Another part of fg_catalog.c, by the same means and for the same reasons.  The
 * numbers of the columns below go with fortress_guard--1.0.sql.
 *
 * Using a request writes nothing into its row: it adds the token that is opened
 * by it, which goes away with a rollback.  So the row belongs to those who
 * decide, and a rejection commits, and counts from then on, while the request is
 * in use.
 *
 * Locks: readers take AccessShareLock, writers RowExclusiveLock.  Two heavyweight
 * locks on (fortress.request, id), of the kind that DDL takes on objects, which
 * no SQL function takes for this table: with 1 of those who decide, so that
 * the second one sees what the first one did; with 2 of who uses it.  Rules are
 * changed under ShareRowExclusiveLock on their table.
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
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "fg_catalog.h"
#include "fg_catalog_column.h"
#include "fg_catalog_request.h"
#include "fg_client.h"

/* columns of fortress.request */
enum
{
	Anum_request_id = 1,
	Anum_request_requester_oid,
	Anum_request_requester_name,
	Anum_request_requester_system,
	Anum_request_login_oid,
	Anum_request_login_name,
	Anum_request_login_system,
	Anum_request_actual_role,
	Anum_request_client_addr,
	Anum_request_application_name,
	Anum_request_context,
	Anum_request_requested_at,
	Anum_request_relations,
	Anum_request_operations,
	Anum_request_max_rows,
	Anum_request_table_rows,
	Anum_request_valid_for,
	Anum_request_reason,
	Anum_request_state,
	Anum_request_decided_by,
	Anum_request_decided_login,
	Anum_request_decided_at,
	Anum_request_why,
	Anum_request_valid_until,
	Natts_request = Anum_request_valid_until
};

/* columns of fortress.approval_rule */
enum
{
	Anum_rule_relation = 1,
	Anum_rule_operations,
	Anum_rule_approvers_oid,
	Anum_rule_approvers_name,
	Anum_rule_approvers_system,
	Anum_rule_set_by,
	Anum_rule_set_at,
	Natts_rule = Anum_rule_set_at
};

/* third member of the lock tag */
#define LOCK_DECISION	1
#define LOCK_USE		2

/* in the order of FgDecision */
static const char *const decision_names[] = {"pending", "approved", "rejected"};

static FgDecision
decision_from_datum(Datum datum)
{
	char	   *name = TextDatumGetCString(datum);

	for (int i = 0; i < lengthof(decision_names); i++)
	{
		if (strcmp(decision_names[i], name) == 0)
			return (FgDecision) i;
	}
	elog(ERROR, "unknown state \"%s\" of a request", name);
}

/* ----------------------------------------------------------------
 *		Requests
 * ----------------------------------------------------------------
 */

int64
fg_catalog_add_request(const FgUnlockRequest *row, const char *application, const char *context)
{
	int64		id = fg_catalog_nextval("request_id_seq");
	Interval	valid_for = row->valid_for;
	uint8		address[FG_ADDRESS_LENGTH];
	uint8		family = fg_client_inet(address);
	Datum		values[Natts_request] = {0};
	bool		nulls[Natts_request] = {false};

	values[Anum_request_id - 1] = Int64GetDatum(id);
	fg_column_put_role(GetSessionUserId(), Anum_request_requester_oid, values);
	fg_column_put_role(GetAuthenticatedUserId(), Anum_request_login_oid, values);
	values[Anum_request_actual_role - 1] = fg_column_role_name(GetUserId());
	nulls[Anum_request_client_addr - 1] = family == 0;
	if (family != 0)
		values[Anum_request_client_addr - 1] = fg_column_address(family, address);
	fg_column_put_text(application, Anum_request_application_name, values, nulls);
	fg_column_put_text(context, Anum_request_context, values, nulls);
	values[Anum_request_requested_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	nulls[Anum_request_relations - 1] = row->any_relation;
	if (!row->any_relation)
		values[Anum_request_relations - 1] = fg_column_relids(row->relids);
	values[Anum_request_operations - 1] = fg_column_operations(row->operations);
	fg_column_put_bound(row->max_rows, Anum_request_max_rows, values, nulls);
	fg_column_put_bound(row->table_rows, Anum_request_table_rows, values, nulls);
	values[Anum_request_valid_for - 1] = IntervalPGetDatum(&valid_for);
	fg_column_put_text(row->reason, Anum_request_reason, values, nulls);
	fg_column_put_text(decision_names[FG_DECISION_PENDING], Anum_request_state, values, nulls);
	for (int i = Anum_request_decided_by; i <= Anum_request_valid_until; i++)
		nulls[i - 1] = true;
	fg_column_insert_row("request", values, nulls);
	return id;
}

static void
scan_by_id(FgScan *scan, LOCKMODE lockmode, int64 id)
{
	ScanKeyData key;

	ScanKeyInit(&key, Anum_request_id, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	fg_scan_begin(scan, "request", "request_pkey", lockmode, 1, &key);
}

FgUnlockRequest *
fg_catalog_get_request(int64 id)
{
	FgScan		scan;
	HeapTuple	tuple;
	FgUnlockRequest *row = NULL;

	scan_by_id(&scan, AccessShareLock, id);
	tuple = fg_scan_next(&scan);
	if (tuple != NULL)
	{
		Relation	rel = scan.rel;
		bool		isnull;
		Datum		value;

		row = palloc0(sizeof(FgUnlockRequest));
		row->id = id;
		row->requester = fg_column_get_role(tuple, rel, Anum_request_requester_oid);
		row->login = fg_column_get_role(tuple, rel, Anum_request_login_oid);
		value = fg_column_value(tuple, rel, Anum_request_relations, &isnull);
		row->any_relation = isnull;
		if (!isnull)
			row->relids = fg_column_get_relids(value);
		row->operations =
			fg_column_get_operations(fg_column_required(tuple, rel, Anum_request_operations));
		row->max_rows = fg_column_get_bound(tuple, rel, Anum_request_max_rows);
		row->table_rows = fg_column_get_bound(tuple, rel, Anum_request_table_rows);
		row->valid_for =
			*DatumGetIntervalP(fg_column_required(tuple, rel, Anum_request_valid_for));
		row->reason = fg_column_get_text(tuple, rel, Anum_request_reason);
		row->decision =
			decision_from_datum(fg_column_required(tuple, rel, Anum_request_state));
		value = fg_column_value(tuple, rel, Anum_request_decided_by, &isnull);
		row->decided_by = isnull ? NULL : pstrdup(NameStr(*DatumGetName(value)));
		row->why = fg_column_get_text(tuple, rel, Anum_request_why);
		value = fg_column_value(tuple, rel, Anum_request_valid_until, &isnull);
		row->valid_until = isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
	}
	fg_scan_end(&scan);
	return row;
}

void
fg_catalog_decide_request(int64 id, FgDecision decision, TimestampTz valid_until,
						  const char *why)
{
	FgScan		scan;
	HeapTuple	tuple;
	HeapTuple	changed;
	Datum		values[Natts_request] = {0};
	bool		nulls[Natts_request] = {false};
	bool		replace[Natts_request] = {false};

	fg_column_put_text(decision_names[decision], Anum_request_state, values, nulls);
	values[Anum_request_decided_by - 1] = fg_column_role_name(GetSessionUserId());
	values[Anum_request_decided_login - 1] = fg_column_role_name(GetAuthenticatedUserId());
	values[Anum_request_decided_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	fg_column_put_text(why, Anum_request_why, values, nulls);
	values[Anum_request_valid_until - 1] = TimestampTzGetDatum(valid_until);
	for (int i = Anum_request_state; i <= Anum_request_why; i++)
		replace[i - 1] = true;
	/* until when it would have been valid is still of interest after a rejection */
	replace[Anum_request_valid_until - 1] = decision == FG_DECISION_APPROVED;

	scan_by_id(&scan, RowExclusiveLock, id);
	tuple = fg_scan_next(&scan);
	if (tuple == NULL)
		elog(ERROR, "request " INT64_FORMAT " does not exist", id);
	changed = heap_modify_tuple(tuple, RelationGetDescr(scan.rel), values, nulls, replace);
	CatalogTupleUpdate(scan.rel, &tuple->t_self, changed);
	fg_scan_end(&scan);
	CommandCounterIncrement();
}

/*
 * A dirty snapshot also shows what other transactions have not committed yet,
 * so that many sessions together get no further than one.
 */
int
fg_catalog_pending_requests(Oid requester)
{
	Relation	rel = table_open(fg_catalog_relation("request"), AccessShareLock);
	SnapshotData dirty;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			n = 0;

	InitDirtySnapshot(dirty);
	ScanKeyInit(&key, Anum_request_requester_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(requester));
	scan = systable_beginscan(rel, fg_catalog_relation("request_requester_idx"), true,
							  &dirty, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		if (decision_from_datum(fg_column_required(tuple, rel, Anum_request_state)) ==
			FG_DECISION_PENDING)
			n++;
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
	return n;
}

static bool
lock_request(int64 id, uint16 what, bool wait)
{
	LOCKTAG		tag;
	ResourceOwner owner = CurrentResourceOwner;
	LockAcquireResult result;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, fg_catalog_relation("request"), (uint32) id, what);
	/* not the portal's, which can outlive the subtransaction */
	CurrentResourceOwner = CurTransactionResourceOwner;
	result = LockAcquire(&tag, ExclusiveLock, false, !wait);
	CurrentResourceOwner = owner;
	return result != LOCKACQUIRE_NOT_AVAIL;
}

void
fg_catalog_lock_request_decision(int64 id)
{
	(void) lock_request(id, LOCK_DECISION, true);
}

bool
fg_catalog_lock_request_use(int64 id)
{
	return lock_request(id, LOCK_USE, false);
}

/* ----------------------------------------------------------------
 *		Rules
 * ----------------------------------------------------------------
 */

static void
scan_rules(FgScan *scan, LOCKMODE lockmode, Oid relid)
{
	ScanKeyData key;

	ScanKeyInit(&key, Anum_rule_relation, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	fg_scan_begin(scan, "approval_rule", "approval_rule_pkey", lockmode, 1, &key);
}

static FgApprovalRule *
rule_from_row(HeapTuple tuple, Relation rel)
{
	FgApprovalRule *rule = palloc0(sizeof(FgApprovalRule));

	rule->relid = DatumGetObjectId(fg_column_required(tuple, rel, Anum_rule_relation));
	rule->operations =
		fg_column_get_operations(fg_column_required(tuple, rel, Anum_rule_operations));
	rule->any_approver = fg_column_is_null(tuple, rel, Anum_rule_approvers_oid);
	if (!rule->any_approver)
		rule->approvers = fg_column_get_role(tuple, rel, Anum_rule_approvers_oid);
	return rule;
}

FgApprovalRule *
fg_catalog_get_rule(Oid relid)
{
	FgScan		scan;
	HeapTuple	tuple;
	FgApprovalRule *rule = NULL;

	scan_rules(&scan, AccessShareLock, relid);
	tuple = fg_scan_next(&scan);
	if (tuple != NULL)
		rule = rule_from_row(tuple, scan.rel);
	fg_scan_end(&scan);
	return rule;
}

List *
fg_catalog_rules(void)
{
	FgScan		scan;
	HeapTuple	tuple;
	List	   *rules = NIL;

	fg_scan_begin(&scan, "approval_rule", NULL, AccessShareLock, 0, NULL);
	while ((tuple = fg_scan_next(&scan)) != NULL)
		rules = lappend(rules, rule_from_row(tuple, scan.rel));
	fg_scan_end(&scan);
	return rules;
}

void
fg_catalog_put_rule(const FgApprovalRule *rule)
{
	FgScan		scan;
	HeapTuple	old;
	HeapTuple	made;
	Datum		values[Natts_rule] = {0};
	bool		nulls[Natts_rule] = {false};

	values[Anum_rule_relation - 1] = ObjectIdGetDatum(rule->relid);
	values[Anum_rule_operations - 1] = fg_column_operations(rule->operations);
	if (rule->any_approver)
	{
		nulls[Anum_rule_approvers_oid - 1] = true;
		nulls[Anum_rule_approvers_name - 1] = true;
		nulls[Anum_rule_approvers_system - 1] = true;
	}
	else
		fg_column_put_role(rule->approvers, Anum_rule_approvers_oid, values);
	values[Anum_rule_set_by - 1] = fg_column_role_name(GetSessionUserId());
	values[Anum_rule_set_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());

	scan_rules(&scan, RowExclusiveLock, rule->relid);
	old = fg_scan_next(&scan);
	made = heap_form_tuple(RelationGetDescr(scan.rel), values, nulls);
	if (old != NULL)
		CatalogTupleUpdate(scan.rel, &old->t_self, made);
	else
		CatalogTupleInsert(scan.rel, made);
	fg_scan_end(&scan);
	CommandCounterIncrement();
}

bool
fg_catalog_delete_rule(Oid relid)
{
	FgScan		scan;
	HeapTuple	tuple;

	scan_rules(&scan, RowExclusiveLock, relid);
	tuple = fg_scan_next(&scan);
	if (tuple != NULL)
		CatalogTupleDelete(scan.rel, &tuple->t_self);
	fg_scan_end(&scan);
	CommandCounterIncrement();
	return tuple != NULL;
}

void
fg_catalog_lock_rules(void)
{
	table_close(table_open(fg_catalog_relation("approval_rule"), ShareRowExclusiveLock), NoLock);
}
