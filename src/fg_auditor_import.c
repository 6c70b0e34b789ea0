/*-------------------------------------------------------------------------
 *
 * fg_auditor_import.c
 *		What the worker of a database does: events from the journal into
 *		fortress.audit_log, and old ones out of it.
 *
 * Exactly once: a row carries the place of its record in the journal
 * (incarnation and number), which is unique.  It is committed and on disk
 * before the journal forgets the record, so a crash in between makes the
 * worker read it again and find it there.
 *
 * In order: there is one worker, and it reads in the order of the journal.
 *
 * The chain goes on where the journal's anchor says that it ended, not where
 * the table ends: rows that were removed from the end, or put there, leave a
 * break that fortress.verify_audit() names.  The worker looks at the anchor's
 * row itself before it goes on, and records an event "tamper" if it is not as
 * it was.
 *
 * Alerts: a NOTIFY for each event; where many come at once, one for each kind
 * and relation, with how many they were.  They are part of the transaction, so
 * whoever is told can read the row.
 *
 * Locks: RowExclusiveLock on the log, never waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/async.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "fg_auditor_import.h"
#include "fg_catalog.h"
#include "fg_catalog_audit.h"
#include "fg_event.h"
#include "fg_guc.h"

#define ALERT_CHANNEL		"fortress_alert"
/* records in one transaction */
#define MAX_RECORDS			1000
#define MAX_BYTES			(4 * 1024 * 1024)
/* rows that retention removes in one transaction */
#define MAX_EXPIRED			5000
/* more alerts than that in one transaction are told by kind */
#define MAX_SINGLE_ALERTS	20
/* how often the lock of the notification queue is tried, every 10 ms */
#define ALERT_TRIES			100

typedef struct FgAlert
{
	int64		id;				/* of the last one */
	char	   *event;
	char	   *relation;		/* NULL: none */
	uint64		times;
} FgAlert;

/* What one transaction of the worker writes. */
typedef struct FgBatch
{
	FgAuditWriter writer;
	FgAnchor	chain;
	bool		occupied;		/* there are rows behind the chain's end */
	List	   *alerts;			/* of FgAlert * */
	uint64		incarnation;	/* of the last record that was read ... */
	uint64		number;			/* ... and its number */
	Size		n_bytes;
} FgBatch;

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* ----------------------------------------------------------------
 *		Alerts
 * ----------------------------------------------------------------
 */

static void
note_alert(FgBatch *batch, const FgRecord *record, uint64 times)
{
	FgAlert    *alert = palloc(sizeof(FgAlert));

	alert->id = batch->chain.id;
	alert->event = record->event;
	alert->relation = OidIsValid(record->relid) ? pstrdup(fg_event_relation(record->relid)) : NULL;
	alert->times = times;
	batch->alerts = lappend(batch->alerts, alert);
}

/* One alert for each event and relation, with the id of the last. */
static List *
merge_alerts(List *alerts)
{
	List	   *merged = NIL;
	ListCell   *cell;

	foreach(cell, alerts)
	{
		FgAlert    *alert = lfirst(cell);
		ListCell   *other;

		foreach(other, merged)
		{
			FgAlert    *found = lfirst(other);

			if (same_text(found->event, alert->event) &&
				same_text(found->relation, alert->relation))
			{
				found->times += alert->times;
				found->id = alert->id;
				break;
			}
		}
		if (other == NULL)
			merged = lappend(merged, alert);
	}
	return merged;
}

/*
 * Takes the lock that a commit with notifications takes.  Somebody may have it
 * while he waits for a standby that is away, and the import must not wait then.
 */
static bool
lock_queue(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, InvalidOid, 0);
	for (int i = 0; i < ALERT_TRIES; i++)
	{
		if (LockAcquire(&tag, AccessExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
			return true;
		pg_usleep(10000L);
	}
	return false;
}

static void
send_alerts(List *alerts)
{
	ListCell   *cell;
	StringInfoData payload;

	if (!lock_queue())
	{
		ereport(LOG,
				(errmsg("fortress_guard sends no alerts: somebody's commit keeps the notification queue locked")));
		return;
	}

	/* a queue that nobody reads must not keep events out of the log */
	if (DatumGetFloat8(OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE)) > 0.5)
	{
		ereport(LOG,
				(errmsg("fortress_guard sends no alerts: more than half of the notification queue is in use")));
		return;
	}
	if (list_length(alerts) > MAX_SINGLE_ALERTS)
		alerts = merge_alerts(alerts);
	initStringInfo(&payload);
	foreach(cell, alerts)
	{
		FgAlert    *alert = lfirst(cell);

		resetStringInfo(&payload);
		appendStringInfo(&payload, "{\"id\": " INT64_FORMAT ", \"event\": ", alert->id);
		escape_json(&payload, alert->event);
		appendStringInfoString(&payload, ", \"relation\": ");
		if (alert->relation != NULL)
			escape_json(&payload, alert->relation);
		else
			appendStringInfoString(&payload, "null");
		if (alert->times > 1)
			appendStringInfo(&payload, ", \"times\": " UINT64_FORMAT, alert->times);
		appendStringInfoChar(&payload, '}');
		Async_Notify(ALERT_CHANNEL, payload.data);
	}
}

/* ----------------------------------------------------------------
 *		Rows
 * ----------------------------------------------------------------
 */

static void
append_row(FgBatch *batch, uint64 journal, uint64 number, FgRecord *record, uint64 times)
{
	if (times > 1)
	{
		/* the object that fg_event.c has made ends with a brace */
		int			length = strlen(record->detail) - 1;

		record->detail = psprintf("%.*s%s\"times\": " UINT64_FORMAT "}",
								  length, record->detail, length > 1 ? ", " : "", times);
	}
	if (batch->occupied)
		fg_audit_skip(&batch->writer, &batch->chain);
	fg_audit_append(&batch->writer, &batch->chain, journal, number, record);
	note_alert(batch, record, times);
}

/*
 * Appends an event that the worker itself has to tell.  "more" are members of
 * its detail, or NULL.
 */
static void
append_own(FgBatch *batch, const char *event, uint64 journal, uint64 number,
		   const char *message, const char *more)
{
	FgRecord	record = {0};
	StringInfoData detail;

	record.at = GetCurrentTimestamp();
	record.rows = -1;
	record.max_rows = -1;
	record.pid = MyProcPid;
	record.event = pstrdup(event);
	record.session_role = GetUserNameFromId(GetSessionUserId(), false);
	record.actual_role = record.session_role;
	record.application_name = pstrdup("fortress_guard auditor");
	initStringInfo(&detail);
	appendStringInfoString(&detail, "{\"message\": ");
	escape_json(&detail, message);
	if (more != NULL)
		appendStringInfo(&detail, ", %s", more);
	appendStringInfoChar(&detail, '}');
	record.detail = detail.data;
	append_row(batch, journal, number, &record, 1);
	ereport(LOG,
			(errmsg("fortress_guard %s: %s", event, message)));
}

/* The chain goes on where the table ends. */
static void
end_at(FgBatch *batch, const FgAnchor *last)
{
	batch->chain = *last;
	batch->occupied = false;

	/* nobody counts that far: somebody has put in a row to stop the count */
	if (last->id > PG_INT64_MAX / 2)
	{
		fg_audit_contiguous_end(&batch->writer, &batch->chain);
		batch->occupied = true;
	}
}

/*
 * Where the chain goes on.  Without an anchor, after the journal was lost, it
 * is where the table ends; so it is after a crash, as the anchor may be older
 * than the last import.  In a run that knows its anchor exactly, it is there
 * and nowhere else.
 */
static void
find_end(FgBatch *batch)
{
	FgAnchor	last;
	FgAnchor	first;
	bool		exact;
	bool		anchored = fg_journal_get_anchor(MyDatabaseId, &batch->chain, &exact);

	fg_audit_ends(&batch->writer, &first, &last);
	/* an anchor from an old backup may lie before what retention has removed */
	if (!anchored || (!exact && batch->chain.id < first.id))
	{
		end_at(batch, &last);
		return;
	}
	if (last.id == batch->chain.id &&
		memcmp(last.hash, batch->chain.hash, FG_HASH_LENGTH) == 0)
		return;

	batch->occupied = last.id > batch->chain.id;
	if (batch->chain.id > 0 && !fg_audit_holds(&batch->writer, &batch->chain))
		append_own(batch, "tamper", 0, 0,
				   psprintf("event " INT64_FORMAT " of fortress.audit_log was changed or removed",
							batch->chain.id), NULL);
	else if (!exact)
		end_at(batch, &last);
	else if (fg_journal_first_notice())
		append_own(batch, "tamper", 0, 0,
				   psprintf("rows were put into fortress.audit_log behind event " INT64_FORMAT,
							batch->chain.id), NULL);
}

/* ----------------------------------------------------------------
 *		Import
 * ----------------------------------------------------------------
 */

static void
import_record(FgBatch *batch, FgJournalRead result, const FgJournalRecord *found)
{
	FgRecord	record;
	uint64		last_number = result == FG_JOURNAL_RECORD ? found->number : found->last_number;

	/* a copy of what this transaction has just written must be seen */
	if (found->incarnation != batch->incarnation || found->number <= batch->number)
		CommandCounterIncrement();
	batch->incarnation = found->incarnation;
	batch->number = last_number;

	if (result == FG_JOURNAL_RECORD &&
		fg_record_unpack(found->payload, found->length, &record))
	{
		FgAuditFound there = fg_audit_find(&batch->writer, found->incarnation, found->number,
										   &record);

		/* a forged row must not keep it out; it has no place of its own then */
		batch->n_bytes += found->length;
		if (there != FG_AUDIT_SAME)
			append_row(batch, found->incarnation,
					   there == FG_AUDIT_NONE ? found->number : 0, &record, found->times);
		return;
	}
	if (fg_audit_find(&batch->writer, found->incarnation, last_number, NULL) != FG_AUDIT_NONE)
		return;
	append_own(batch, "tamper", found->incarnation, last_number,
			   found->number == last_number ?
			   psprintf("record " UINT64_FORMAT " of the journal could not be read", found->number) :
			   psprintf("records " UINT64_FORMAT " to " UINT64_FORMAT " of the journal could not be read",
						found->number, last_number), NULL);
}

/* Begins a transaction with the log open; false if somebody has it locked. */
static bool
begin_batch(FgBatch *batch)
{
	memset(batch, 0, sizeof(*batch));
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (fg_audit_open(&batch->writer))
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		return true;
	}
	AbortCurrentTransaction();
	return false;
}

/*
 * Commits, and keeps a termination out of the moment between that and what the
 * journal is told, so that the journal's anchor is exact.
 */
static void
end_batch(FgBatch *batch, FgJournalReader *reader)
{
	FgAnchor	chain = batch->chain;
	TimestampTz oldest;

	CommandCounterIncrement();
	oldest = fg_audit_oldest(&batch->writer);
	if (batch->alerts != NIL)
		send_alerts(batch->alerts);
	fg_audit_close(&batch->writer);
	PopActiveSnapshot();
	HOLD_INTERRUPTS();
	CommitTransactionCommand();
	fg_journal_read_commit(reader, &chain);
	fg_journal_set_oldest(oldest);
	RESUME_INTERRUPTS();
}

FgStep
fg_auditor_import(FgJournalReader *reader)
{
	FgBatch		batch;
	FgJournalRecord record;
	FgJournalRead result = FG_JOURNAL_END;
	int			n_read = 0;

	if (!begin_batch(&batch))
		return FG_STEP_BUSY;
	find_end(&batch);
	while (n_read < MAX_RECORDS && batch.n_bytes < MAX_BYTES &&
		   (result = fg_journal_read_next(reader, &record)) != FG_JOURNAL_END)
	{
		n_read++;
		import_record(&batch, result, &record);
	}
	end_batch(&batch, reader);
	return n_read > 0 ? FG_STEP_DONE : FG_STEP_IDLE;
}

/* ----------------------------------------------------------------
 *		Retention
 * ----------------------------------------------------------------
 */

/*
 * What is removed leaves an event with the hash of the last row, from which the
 * rest of the chain can be checked.
 */
FgStep
fg_auditor_expire(FgJournalReader *reader)
{
	FgBatch		batch;
	FgAnchor	last = {0};
	TimestampTz before;
	TimestampTz oldest;
	int64		first = 0;
	bool		altered;
	int			n;

	if (fg_audit_retention == 0)
		return FG_STEP_IDLE;
	before = GetCurrentTimestamp() - (int64) fg_audit_retention * USECS_PER_SEC;
	if (!begin_batch(&batch))
		return FG_STEP_BUSY;
	oldest = fg_audit_oldest(&batch.writer);
	if (oldest == 0 || oldest >= before)
	{
		AbortCurrentTransaction();
		return FG_STEP_IDLE;
	}
	n = fg_audit_expire(&batch.writer, before, MAX_EXPIRED, &first, &last, &altered);
	if (n == 0 && !(altered && fg_journal_first_notice()))
	{
		/* what is old has to stay: until more events come this is not tried again */
		AbortCurrentTransaction();
		fg_journal_set_oldest(0);
		return FG_STEP_IDLE;
	}
	find_end(&batch);
	if (n == 0)
	{
		append_own(&batch, "tamper", 0, 0,
				   psprintf("event " INT64_FORMAT " of fortress.audit_log is not as it was written, and is kept",
							last.id + 1), NULL);
		end_batch(&batch, reader);
		fg_journal_set_oldest(0);
		return FG_STEP_IDLE;
	}
	append_own(&batch, "audit_expired", 0, 0,
			   psprintf("events " INT64_FORMAT " to " INT64_FORMAT " were older than fortress.audit_retention and have been removed",
						first, last.id),
			   psprintf("\"first\": " INT64_FORMAT ", \"last\": " INT64_FORMAT ", \"hash\": \"%s\"",
						first, last.id, fg_crypto_hex(last.hash)));
	end_batch(&batch, reader);
	return FG_STEP_DONE;
}
