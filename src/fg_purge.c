/*-------------------------------------------------------------------------
 *
 * fg_purge.c
 *		Removes archived rows that are old enough: what the worker does by
 *		itself, and what fortress.purge() is made of.
 *
 * The worker goes through each archive from its first page to its last, a piece
 * at a time, with a transaction for each, so that no snapshot is held for long,
 * vacuum can follow, and whoever cancels it loses little.  It reads pages
 * directly rather than by an index, as archives have none: they would be paid
 * for by every row that is archived.  Space that is freed is used by rows that
 * are archived later.  A worker whose turn is over leaves word where it was, and
 * the next one goes on there: an archive that takes longer to read than a turn
 * lasts would else never be read to its end.
 *
 * Rows are removed below the executor, as the guard lets nobody write archives
 * by SQL.  What this removes is recorded.
 *
 * Locks: the shadow, RowExclusiveLock: nobody who archives, restores or vacuums
 * waits for it.  Of two who remove one row, one does: the worker leaves rows
 * that somebody else is about to remove, as it leaves a shadow whose lock is not
 * free; purge() waits.  A round's state belongs to the worker's process; where
 * rounds were left is under an LWLock of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "fg_catalog.h"
#include "fg_catalog_child.h"
#include "fg_event.h"
#include "fg_guc.h"
#include "fg_progress.h"
#include "fg_purge.h"

/* pages that are looked through in one transaction */
#define PIECE_PAGES		128
/* the first column of every shadow */
#define Anum_shadow_at	1
/* the longest and the shortest time between two rounds */
#define MAX_INTERVAL_S	(24 * 60 * 60)
#define INTERVALS		30		/* rounds in the time that rows are kept */
/* databases whose rounds can be left at a time; of more, some begin from the start */
#define N_PLACES		64

/* A round through all archives. */
typedef struct FgPurgeRound
{
	List	   *relids;			/* whose archives; in TopMemoryContext */
	int			place;			/* in the list */
	BlockNumber block;			/* where the next piece of that archive begins */
	int64		removed;		/* rows of that archive */
	TimestampTz before;			/* what is older goes */
} FgPurgeRound;

/* Where a worker left its round. */
typedef struct FgPurgePlace
{
	Oid			database;		/* InvalidOid: free */
	Oid			relid;			/* whose archive it was in */
	BlockNumber block;			/* that comes next */
} FgPurgePlace;

typedef struct FgPurgeShared
{
	LWLock		lock;
	int			tranche;
	FgPurgePlace places[N_PLACES];	/* under the lock */
} FgPurgeShared;

static FgPurgeShared *shared = NULL;
static FgPurgeRound *current = NULL;
static bool finished = false;

Size
fg_purge_shmem_size(void)
{
	return sizeof(FgPurgeShared);
}

void
fg_purge_shmem_init(void)
{
	bool		found;

	shared = ShmemInitStruct("fortress_guard purge", sizeof(FgPurgeShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(FgPurgeShared));
		shared->tranche = LWLockNewTrancheId();
		LWLockInitialize(&shared->lock, shared->tranche);
	}
	LWLockRegisterTranche(shared->tranche, "fortress_guard");
}

int64
fg_purge_interval_ms(void)
{
	return Max(Min(fg_retention / INTERVALS, MAX_INTERVAL_S), 1) * INT64CONST(1000);
}

Relation
fg_purge_open(Oid shadow, bool wait)
{
	Relation	rel;

	if (!OidIsValid(shadow))
		return NULL;
	if (wait)
		LockRelationOid(shadow, RowExclusiveLock);
	else if (!ConditionalLockRelationOid(shadow, RowExclusiveLock))
		return NULL;
	rel = try_relation_open(shadow, NoLock);
	if (rel != NULL && rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_rel->relam == HEAP_TABLE_AM_OID)
		return rel;
	if (rel != NULL)
		relation_close(rel, NoLock);
	UnlockRelationOid(shadow, RowExclusiveLock);
	return NULL;
}

bool
fg_purge_row(Relation shadow, ItemPointer place, bool wait)
{
	TM_FailureData failure;
	TM_Result	result = heap_delete(shadow, place, GetCurrentCommandId(true), InvalidSnapshot, wait,
									 &failure, false);

	if (result == TM_Invisible)
		elog(ERROR, "attempted to remove invisible row (%u,%u) of archive \"%s\"",
			 ItemPointerGetBlockNumber(place), ItemPointerGetOffsetNumber(place),
			 RelationGetRelationName(shadow));
	if (result != TM_Ok)
		return false;
	fg_progress_add(1);
	return true;
}

void
fg_purge_record(Oid relid, int64 rows, TimestampTz before, const char *filter, bool required)
{
	FgEvent		event = {.name = "purged",.relid = relid,.rows = rows,.max_rows = -1};

	if (rows == 0)
		return;
	event.role = GetUserId();
	event.detail = psprintf("archived before %s%s%s", timestamptz_to_str(before),
							filter ? ", filter: " : "", filter ? filter : "");
	if (!required)
		event.query = "";
	fg_event_queue(&event, required);
}

/* Removes old rows from a piece of a shadow; returns how many. */
static int64
purge_piece(Relation shadow, BlockNumber begin, BlockNumber end, TimestampTz before)
{
	TableScanDesc scan = table_beginscan_strat(shadow, GetActiveSnapshot(), 0, NULL, true, false);
	HeapTuple	tuple;
	int64		removed = 0;

	heap_setscanlimits(scan, begin, end - begin);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		bool		isnull;
		Datum		at = heap_getattr(tuple, Anum_shadow_at, RelationGetDescr(shadow), &isnull);

		CHECK_FOR_INTERRUPTS();
		if (isnull || DatumGetTimestampTz(at) >= before)
			continue;
		if (fg_purge_row(shadow, &tuple->t_self, false))
			removed++;
	}
	table_endscan(scan);
	return removed;
}

/* The place that belongs to a database, or NULL; the lock is held. */
static FgPurgePlace *
find_place(Oid database)
{
	for (int i = 0; i < N_PLACES; i++)
	{
		if (shared->places[i].database == database)
			return &shared->places[i];
	}
	return NULL;
}

/*
 * Goes on where the last worker was.  The word that it left is taken away: if
 * this one fails, the next round is a new one and comes when it is due.
 */
static void
resume_round(void)
{
	FgPurgePlace left = {InvalidOid};
	FgPurgePlace *place;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	place = find_place(MyDatabaseId);
	if (place != NULL)
	{
		left = *place;
		place->database = InvalidOid;
	}
	LWLockRelease(&shared->lock);

	while (current->place < list_length(current->relids) &&
		   list_nth_oid(current->relids, current->place) < left.relid)
		current->place++;
	if (current->place < list_length(current->relids) &&
		list_nth_oid(current->relids, current->place) == left.relid)
		current->block = left.block;
}

static void
begin_round(void)
{
	/* the list is made where the transaction's memory is, as the scan leaves some */
	List	   *relids = fg_catalog_shadow_relids();
	MemoryContext old;

	list_sort(relids, list_oid_cmp);
	old = MemoryContextSwitchTo(TopMemoryContext);
	current = palloc0(sizeof(FgPurgeRound));
	current->relids = list_copy(relids);
	MemoryContextSwitchTo(old);
	current->before = GetCurrentTimestamp() - (int64) fg_retention * USECS_PER_SEC;
	resume_round();
}

static void
end_round(void)
{
	fg_catalog_forget_children(current->before, false);
	list_free(current->relids);
	pfree(current);
	current = NULL;
	finished = true;
}

/* Works on the next piece.  The end of an archive is the end of its event too. */
static void
work_on(Oid relid)
{
	Relation	shadow = fg_purge_open(fg_catalog_get_shadow(relid), false);
	BlockNumber pages = shadow ? RelationGetNumberOfBlocks(shadow) : 0;

	if (current->block < pages)
	{
		BlockNumber end = pages - current->block > PIECE_PAGES ? current->block + PIECE_PAGES : pages;

		fg_progress_begin("purge");
		fg_progress_phase(FG_PHASE_WRITING, relid, -1);
		fg_progress_add(current->removed);
		current->removed += purge_piece(shadow, current->block, end, current->before);
		fg_progress_end();
		current->block = end;
	}
	if (current->block >= pages)
	{
		fg_purge_record(relid, current->removed, current->before, NULL, false);
		current->place++;
		current->block = 0;
		current->removed = 0;
	}
	if (shadow != NULL)
		relation_close(shadow, NoLock);
}

bool
fg_purge_step(void)
{
	if (finished || fg_retention == 0 || !fg_enabled)
		return false;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (current == NULL)
		begin_round();
	if (current->place < list_length(current->relids))
		work_on(list_nth_oid(current->relids, current->place));
	else
		end_round();
	PopActiveSnapshot();
	CommitTransactionCommand();
	/* autovacuum goes by it */
	pgstat_report_stat(false);
	return !finished;
}

void
fg_purge_pause(void)
{
	FgPurgePlace *place;

	if (current == NULL || current->place >= list_length(current->relids))
		return;
	StartTransactionCommand();
	fg_purge_record(list_nth_oid(current->relids, current->place), current->removed, current->before, NULL, false);
	CommitTransactionCommand();
	current->removed = 0;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	place = find_place(MyDatabaseId);
	if (place == NULL)
		place = find_place(InvalidOid);
	if (place == NULL)
		/* all are taken, some perhaps by databases that were dropped */
		place = &shared->places[MyDatabaseId % N_PLACES];
	place->database = MyDatabaseId;
	place->relid = list_nth_oid(current->relids, current->place);
	place->block = current->block;
	LWLockRelease(&shared->lock);
}

bool
fg_purge_paused(Oid database)
{
	bool		paused;

	LWLockAcquire(&shared->lock, LW_SHARED);
	paused = find_place(database) != NULL;
	LWLockRelease(&shared->lock);
	return paused;
}
