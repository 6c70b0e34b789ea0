/*-------------------------------------------------------------------------
 *
 * fg_audit.c
 *		The SQL function verify_audit: is the audit log as it was written?
 *
 * Each row's hash covers its content and the hash before it.  So a row that was
 * changed does not fit its hash, one that was removed leaves a gap in the ids,
 * one that was put in does not fit what stands before it.  Rows removed
 * from the end are noticed because the journal knows where the chain ends
 * (its anchor), which is kept outside the table; so is a chain that somebody
 * made anew from its beginning.  Where retention has removed the beginning, an
 * event "audit_expired" later in the chain says what the hash before the first
 * row was.
 *
 * The relation of a row is hashed as "detail" names it.  Its column must say
 * the same, if the row was recorded in this database: in one that was restored
 * from a dump relations have other oids.
 *
 * Rows are read in the order of the index, and counted without it: a row that an
 * index does not know shows as one too many.
 *
 * Errors: 57014 if it is cancelled, 55000 if the log's columns were altered or
 * the journal could not be imported.
 *
 * Locks: AccessShareLock on the log, but not while it waits for the import.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "fg_catalog.h"
#include "fg_catalog_audit.h"
#include "fg_guc.h"
#include "fg_journal.h"

/* how long the import may stand still before it counts as failed */
#define IMPORT_TIMEOUT_MS	30000
/* how often the anchor is looked at again, every 10 ms */
#define ANCHOR_TRIES		200

PG_FUNCTION_INFO_V1(fg_verify_audit);

typedef struct FgVerification
{
	int64		rows;
	bool		bad;			/* there is something wrong ... */
	int64		first_bad;		/* ... first with this id, which may be forged */
	FgAnchor	end;			/* of what was read */
	bool		anchor_met;		/* the journal's anchor is part of the chain */

	/* the first row, where rows before it were removed */
	bool		base_pending;
	FgAnchor	base;			/* what an audit_expired event must say */
	uint8		base_hash[FG_HASH_LENGTH];	/* the first row's own */
	FgRecordKey first_key;
	FgRecord	first_record;
} FgVerification;

static void
found_bad(FgVerification *check, int64 id)
{
	if (!check->bad || id < check->first_bad)
		check->first_bad = id;
	check->bad = true;
}

static FgRecord
copy_record(const FgRecord *from)
{
	FgRecord	to = *from;
	char	  **const texts[] = {&to.event, &to.operation, &to.session_role, &to.actual_role,
	&to.application_name, &to.query, &to.detail};

	for (int i = 0; i < lengthof(texts); i++)
	{
		if (*texts[i] != NULL)
			*texts[i] = pstrdup(*texts[i]);
	}
	return to;
}

static bool
relation_fits(const FgAuditRow *row)
{
	if (row->key.journal == 0 || !fg_journal_is_ours(row->key.journal))
		return true;
	return row->record.relid == row->detail_relid;
}

/*
 * Looks at one row.  "kept" is a context that outlives the row's own.
 */
static void
check_row(FgVerification *check, const FgAuditRow *row, MemoryContext kept)
{
	uint8		hash[FG_HASH_LENGTH];

	check->rows++;
	if (check->rows == 1 && row->key.id > 1)
	{
		/* its predecessor's hash comes later, if rows were removed rightly */
		MemoryContext old = MemoryContextSwitchTo(kept);

		check->base_pending = true;
		check->base.id = row->key.id - 1;
		check->first_key = row->key;
		check->first_record = copy_record(&row->record);
		memcpy(check->base_hash, row->hash, FG_HASH_LENGTH);
		MemoryContextSwitchTo(old);
		if (!row->complete || !relation_fits(row))
			found_bad(check, row->key.id);
	}
	else
	{
		fg_record_hash(&row->key, &row->record, check->end.hash, hash);
		if (row->key.id != check->end.id + 1)
			found_bad(check, Min(row->key.id, check->end.id + 1));
		else if (!row->complete || !relation_fits(row) ||
				 memcmp(hash, row->hash, FG_HASH_LENGTH) != 0)
			found_bad(check, row->key.id);
	}

	if (check->base_pending && row->has_base && row->base.id == check->base.id)
	{
		fg_record_hash(&check->first_key, &check->first_record, row->base.hash, hash);
		if (memcmp(hash, check->base_hash, FG_HASH_LENGTH) == 0)
			check->base_pending = false;
	}
	check->end.id = row->key.id;
	memcpy(check->end.hash, row->hash, FG_HASH_LENGTH);
}

/*
 * In a run that knows its anchor exactly, the chain ends there, and what follows
 * was put in, however well it fits.  An import that is just being committed may
 * be ahead of the anchor for a moment.
 */
static void
check_end(FgVerification *check)
{
	FgAnchor	anchor;
	bool		exact;

	for (int i = 0; i < ANCHOR_TRIES; i++)
	{
		if (!fg_journal_get_anchor(MyDatabaseId, &anchor, &exact) || !exact ||
			anchor.id >= check->end.id)
			return;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(10000L);
	}
	found_bad(check, anchor.id + 1);
}

static void
verify(FgVerification *check)
{
	MemoryContext kept = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(kept, "fortress_guard verification",
												  ALLOCSET_DEFAULT_SIZES);
	FgAuditScan scan;
	FgAuditRow	row;
	FgAnchor	anchor;
	bool		exact = false;
	bool		anchored;

	/* read before the rows are: what is imported meanwhile only comes on top */
	anchored = fg_journal_get_anchor(MyDatabaseId, &anchor, &exact);

	fg_audit_scan_begin(&scan);
	MemoryContextSwitchTo(context);
	while (fg_audit_scan_next(&scan, &row))
	{
		check_row(check, &row, kept);
		if (anchored && row.key.id == anchor.id &&
			memcmp(row.hash, anchor.hash, FG_HASH_LENGTH) == 0)
			check->anchor_met = true;
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(kept);
	MemoryContextDelete(context);

	if (check->base_pending)
		found_bad(check, check->base.id);
	if (anchored && anchor.id > 0 && !check->anchor_met)
	{
		/* an old anchor may lie before where the log now begins */
		if (anchor.id > check->end.id)
			found_bad(check, check->end.id + 1);
		else if (exact || check->rows == 0 || anchor.id > check->base.id)
			found_bad(check, anchor.id);
	}
	check_end(check);
	if (fg_audit_scan_count(&scan) != check->rows)
		found_bad(check, check->end.id + 1);
	fg_audit_scan_end(&scan);
}

/*
 * fortress.verify_audit()
 */
Datum
fg_verify_audit(PG_FUNCTION_ARGS)
{
	FgVerification check = {0};
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	(void) fg_catalog_schema();

	/* without the preload, and on a server of a single user, there is no auditor */
	if (fg_preloaded && IsUnderPostmaster && !RecoveryInProgress() &&
		!fg_journal_wait_imported(IMPORT_TIMEOUT_MS))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not wait for the import of the audit journal"),
				 errdetail("No event was imported within %d seconds.", IMPORT_TIMEOUT_MS / 1000),
				 errhint("The server log says what keeps the auditor of fortress_guard from its work.")));

	verify(&check);
	values[0] = BoolGetDatum(!check.bad);
	values[1] = Int64GetDatum(check.rows);
	values[2] = Int64GetDatum(check.first_bad);
	nulls[2] = !check.bad;
	nulls[3] = check.rows == 0;
	if (check.rows > 0)
		values[3] = CStringGetTextDatum(fg_crypto_hex(check.end.hash));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
