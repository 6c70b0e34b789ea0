/*-------------------------------------------------------------------------
 *
 * fg_catalog_totp.c
 *		The table of TOTP enrolments, with what was spent of each.
 *
 * A code works once whatever becomes of its transaction, and a guess counts
 * though it ends in an error.  So what is spent of an enrolment (the last step,
 * wrong codes in a row, the lock-out) cannot be written as rows are written.
 * Shared memory would forget it at a crash, and a promoted standby would never
 * have known it.  It is written in place instead, over fixed-width columns of
 * the enrolment's row, and logged as a change of the page: at once visible to
 * everybody, undone by nothing, there after a crash, and on every standby before
 * anything that the code let through, since that comes later in the same log.
 *
 * The columns in front of the row are laid over a C structure (FgSpent).  That
 * the table is still as the extension made it is looked at each time; otherwise
 * nobody gets in.
 *
 * Locks: who enrols takes ShareUpdateExclusiveLock to the end of the
 * transaction, so that there is one at a time, but no code has to wait for it.
 * Who spends takes RowExclusiveLock for the moment.  What is spent is read and
 * written under the exclusive lock of the row's buffer; as the scan has it
 * pinned, the row stays where it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "fg_catalog_totp.h"

/* columns of fortress.totp */
enum
{
	Anum_totp_role_oid = 1,
	Anum_totp_wrong_codes,
	Anum_totp_last_step,
	Anum_totp_locked_until,
	Anum_totp_sealed,
	Anum_totp_role_name,
	Anum_totp_enrolled_by,
	Anum_totp_enrolled_at,
	Natts_totp = Anum_totp_enrolled_at
};

static const Oid column_types[Natts_totp] = {
	OIDOID, INT4OID, INT8OID, TIMESTAMPTZOID, BYTEAOID, NAMEOID, NAMEOID, TIMESTAMPTZOID
};

/* The first columns as they lie in a row. */
typedef struct FgSpent
{
	Oid			role;
	int32		wrong_codes;	/* in a row */
	int64		last_step;		/* of a code that was right */
	TimestampTz locked_until;	/* DT_NOBEGIN: it never was */
} FgSpent;

StaticAssertDecl(offsetof(FgSpent, wrong_codes) == sizeof(Oid) &&
				 offsetof(FgSpent, last_step) == sizeof(Oid) + sizeof(int32) &&
				 offsetof(FgSpent, locked_until) == sizeof(Oid) + sizeof(int32) + sizeof(int64),
				 "columns lie in a row as the fields of FgSpent do");

static void
check_table(Relation rel, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(rel);
	bool		altered = desc->natts != Natts_totp || HeapTupleHasNulls(tuple) ||
		HeapTupleHeaderGetNatts(tuple->t_data) != Natts_totp;

	for (int i = 0; i < Natts_totp && !altered; i++)
		altered = TupleDescAttr(desc, i)->attisdropped ||
			TupleDescAttr(desc, i)->atttypid != column_types[i];
	if (altered)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"fortress.totp\" is not as the extension made it"),
				 errhint("Make it as the extension's script has it, and enrol roles anew.")));
}

static void
scan_role(FgScan *scan, LOCKMODE lockmode, Oid role)
{
	ScanKeyData key;

	ScanKeyInit(&key, Anum_totp_role_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	fg_scan_begin(scan, "totp", "totp_pkey", lockmode, 1, &key);
}

static Datum
name_datum(Oid role)
{
	Name		name = palloc0(sizeof(NameData));

	namestrcpy(name, GetUserNameFromId(role, false));
	return NameGetDatum(name);
}

/* ----------------------------------------------------------------
 *		Enrolling
 * ----------------------------------------------------------------
 */

/*
 * The row is made anew, so that what is spent of the old secret while this
 * transaction runs goes with that one.
 */
void
fg_catalog_put_totp(Oid role, const FgTotpSealed *sealed)
{
	Datum		values[Natts_totp];
	bool		nulls[Natts_totp] = {false};
	bytea	   *bytes = palloc(VARHDRSZ + sizeof(FgTotpSealed));
	FgScan		scan;
	HeapTuple	old;
	HeapTuple	new;

	SET_VARSIZE(bytes, VARHDRSZ + sizeof(FgTotpSealed));
	memcpy(VARDATA(bytes), sealed, sizeof(FgTotpSealed));
	values[Anum_totp_role_oid - 1] = ObjectIdGetDatum(role);
	values[Anum_totp_wrong_codes - 1] = Int32GetDatum(0);
	values[Anum_totp_last_step - 1] = Int64GetDatum(0);
	values[Anum_totp_locked_until - 1] = TimestampTzGetDatum(DT_NOBEGIN);
	values[Anum_totp_sealed - 1] = PointerGetDatum(bytes);
	values[Anum_totp_role_name - 1] = name_datum(role);
	values[Anum_totp_enrolled_by - 1] = name_datum(GetSessionUserId());
	values[Anum_totp_enrolled_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());

	scan_role(&scan, ShareUpdateExclusiveLock, role);
	old = fg_scan_next(&scan);
	if (old != NULL)
		CatalogTupleDelete(scan.rel, &old->t_self);
	new = heap_form_tuple(RelationGetDescr(scan.rel), values, nulls);
	check_table(scan.rel, new);
	CatalogTupleInsert(scan.rel, new);
	fg_scan_end(&scan);
	CommandCounterIncrement();
}

/* ----------------------------------------------------------------
 *		Spending
 * ----------------------------------------------------------------
 */

void
fg_catalog_totp_end(FgTotpScan *scan)
{
	systable_endscan(scan->scan.scan);
	table_close(scan->scan.rel, RowExclusiveLock);
}

bool
fg_catalog_totp_begin(FgTotpScan *scan, Oid role)
{
	bytea	   *bytes;
	bool		isnull;

	scan_role(&scan->scan, RowExclusiveLock, role);
	scan->tuple = fg_scan_next(&scan->scan);
	if (scan->tuple == NULL)
	{
		fg_catalog_totp_end(scan);
		return false;
	}
	check_table(scan->scan.rel, scan->tuple);
	bytes = DatumGetByteaPP(heap_getattr(scan->tuple, Anum_totp_sealed,
										 RelationGetDescr(scan->scan.rel), &isnull));
	/* what has another length opens for nobody */
	memset(&scan->sealed, 0, sizeof(FgTotpSealed));
	if (VARSIZE_ANY_EXHDR(bytes) == sizeof(FgTotpSealed))
		memcpy(&scan->sealed, VARDATA_ANY(bytes), sizeof(FgTotpSealed));
	return true;
}

/* What an attempt at "now" makes of what was spent before. */
static FgTotpVerdict
judge(FgSpent *spent, int64 step, TimestampTz now)
{
	if (spent->locked_until > now)
		return FG_TOTP_LOCKED;
	if (step >= 0)
	{
		if (step <= spent->last_step)
			return FG_TOTP_USED;
		spent->last_step = step;
		spent->wrong_codes = 0;
		return FG_TOTP_RIGHT;
	}
	spent->wrong_codes++;
	if (spent->wrong_codes < FG_TOTP_MAX_WRONG)
		return FG_TOTP_WRONG;
	spent->wrong_codes = 0;
	spent->locked_until = now + (int64) FG_TOTP_LOCK_MINUTES * SECS_PER_MINUTE * USECS_PER_SEC;
	return FG_TOTP_LOCKS;
}

/*
 * Nobody else can read or write what is spent between the look at it and the
 * change, so the verdicts of sessions that come at once are those of sessions
 * that come one after another.
 */
FgTotpVerdict
fg_catalog_totp_spend(FgTotpScan *scan, int64 step, TimestampTz *until)
{
	Relation	rel = scan->scan.rel;
	ItemPointer self = &scan->tuple->t_self;
	TimestampTz now = GetCurrentTimestamp();
	GenericXLogState *state = GenericXLogStart(rel);
	Buffer		buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(self));
	Page		page;
	HeapTupleHeader row;
	FgSpent		spent;
	FgTotpVerdict verdict;
	XLogRecPtr	logged = InvalidXLogRecPtr;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	page = GenericXLogRegisterBuffer(state, buffer, 0);
	row = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, ItemPointerGetOffsetNumber(self)));
	memcpy(&spent, (char *) row + row->t_hoff, sizeof(FgSpent));
	verdict = judge(&spent, step, now);
	if (verdict == FG_TOTP_USED || verdict == FG_TOTP_LOCKED)
		GenericXLogAbort(state);
	else
	{
		memcpy((char *) row + row->t_hoff, &spent, sizeof(FgSpent));
		logged = GenericXLogFinish(state);
	}
	UnlockReleaseBuffer(buffer);
	XLogFlush(logged);
	*until = spent.locked_until;
	return verdict;
}
