/*-------------------------------------------------------------------------
 *
 * fg_executor_tap.c
 *		Archiving the rows of a plain DELETE or UPDATE while it runs.
 *
 * The guard's trigger archives from the OLD TABLE: the server fetches each old
 * row, copies it to a store that spills to disk, and at the end of the statement
 * we read it from there.  That costs as much again as the DELETE.  But the old
 * version is still where it was when the node asks for its next row, as nothing
 * removes a version that a running transaction has deleted.  So the watch of the
 * node (fg_executor_watch.c) tells which row it was given, by ctid; if the
 * server's counters then say that the node changed one, the ctid is kept, and
 * the rows of one page are archived together, straight from the page.
 *
 * What is archived is proved, not believed: the version's xmax must be of
 * this transaction and its cmax the statement's own command.  Nothing that
 * other statements do, nested ones included, bears that mark, and a row that
 * a join brings a second time moves no counter.  Where a concurrent update came
 * first, the version at the ctid is not ours; the node went along the update
 * chain then, and so do we.  In the end the number of rows archived must be the
 * one that the server counted for this node, or the statement fails.
 *
 * Rows are written only between two rows of the node, or when the statement
 * finishes: at its own subtransaction level, so that they live and die with what
 * the node did.  A nested statement may change rows that the node has changed
 * before, never the other way round (the server refuses that).  So when one
 * begins, the place of the node's rows in the transaction is taken.
 *
 * Partitions of one table keep their rows in one shadow.  So whatever their
 * number, one archiver with one batch serves them all, and goes from one to the
 * next with the rows; what is counted and compared in the end is kept for each.
 *
 * The trigger stays on the table and archives where anything is less plain: more
 * than one watched node, partitions with policies of their own, updates of
 * partition keys, inheritance, cascades, MERGE, ON CONFLICT, updates of keys,
 * policies with columns, and triggers of somebody else's before a row or after
 * the statement.
 *
 * Locks: a share lock on a page of the table while its tuples are looked at.
 * After that, a pin keeps their bytes in place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "fg_catalog.h"
#include "fg_compat.h"
#include "fg_executor_tap.h"
#include "fg_shadow.h"
#include "fg_shadow_archiver.h"

struct FgTap
{
	EState	   *estate;
	ModifyTableState *node;
	Relation	named;			/* by the statement */
	Oid			owner;
	char		op;
	CommandId	cid;			/* of the statement */

	BufferHeapTupleTableSlot *scanned;	/* where the scan below the node has its row;
										 * NULL: no plain scan */

	bool		in_hand;		/* the node was given a row */
	ResultRelInfo *given;		/* of which relation */
	ItemPointerData tid;		/* of that row */
	Buffer		buffer;			/* where its page was then, or invalid */
	int64		changes;		/* of that relation by the node, when it was */

	/* rows of a page that the node has changed */
	ResultRelInfo *rri;			/* of which relation */
	BlockNumber block;
	Buffer		block_buffer;	/* where it was last, or invalid */
	int			n_rows;
	OffsetNumber first;			/* of a statement that may have no other */
	OffsetNumber *rows;			/* of MaxHeapTuplesPerPage, or "first" alone */

	bool		stamped;
	FgShadowStamp stamp;
	FgArchiver *archiver;		/* at work on more than one row; or NULL */
	char		how;			/* its fg_how, if not of the transaction's own rows */
	int64	   *n_archived;		/* for each result relation */
	int64		one_archived;	/* where there is but one */
};

/* ----------------------------------------------------------------
 *		May it be done?
 * ----------------------------------------------------------------
 */

/*
 * Is the guard's trigger the only one of its kind, and would it archive what a
 * command does from the old rows alone?  And nobody else sees to the rows before?
 */
static bool
only_archiver(const TriggerDesc *desc, CmdType operation)
{
	Oid			guard = fg_catalog_guard_function();
	int16		event = operation == CMD_DELETE ? TRIGGER_TYPE_DELETE : TRIGGER_TYPE_UPDATE;
	bool		found = false;

	for (int i = 0; i < desc->numtriggers; i++)
	{
		const Trigger *trigger = &desc->triggers[i];
		bool		row = TRIGGER_FOR_ROW(trigger->tgtype);
		bool		after = TRIGGER_FOR_AFTER(trigger->tgtype);

		if ((trigger->tgtype & event) == 0)
			continue;
		if (trigger->tgfoid != guard)
		{
			if (row != after || trigger->tgoldtable != NULL || trigger->tgnewtable != NULL)
				return false;
		}
		else if (row)
		{
			if (trigger->tgenabled != TRIGGER_FIRES_ON_REPLICA)
				return false;
		}
		else if (after)
		{
			if (found || trigger->tgoldtable == NULL || trigger->tgnewtable != NULL)
				return false;
			found = true;
		}
	}
	return found;
}

/*
 * Does nobody else see to the rows of a partition before the node does, and is it
 * not archived by row?  Its triggers for statements do not fire.
 */
static bool
plain_partition(const ResultRelInfo *rri, CmdType operation)
{
	const TriggerDesc *desc = rri->ri_TrigDesc;
	Oid			guard = fg_catalog_guard_function();
	int16		event = operation == CMD_DELETE ? TRIGGER_TYPE_DELETE : TRIGGER_TYPE_UPDATE;

	if (!rri->ri_RelationDesc->rd_rel->relispartition)
		return false;
	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		const Trigger *trigger = &desc->triggers[i];

		if ((trigger->tgtype & event) == 0 || !TRIGGER_FOR_ROW(trigger->tgtype))
			continue;
		if (trigger->tgfoid == guard ? trigger->tgenabled != TRIGGER_FIRES_ON_REPLICA :
			!TRIGGER_FOR_AFTER(trigger->tgtype))
			return false;
	}
	return true;
}

/* Can the rows of all result relations be told and archived alike? */
static bool
plain_relations(const ModifyTableState *node)
{
	const ResultRelInfo *named = node->rootResultRelInfo;

	if (((ModifyTable *) node->ps.plan)->partColsUpdated)
		return false;
	for (int i = 0; i < node->mt_nrels; i++)
	{
		const ResultRelInfo *rri = &node->resultRelInfo[i];

		if (rri->ri_RelationDesc->rd_rel->relkind != RELKIND_RELATION ||
			!AttributeNumberIsValid(rri->ri_RowIdAttNo) ||
			(rri != named && !plain_partition(rri, node->operation)))
			return false;
	}
	return true;
}

/* Where a scan of a table has the row that it gives; NULL: elsewhere. */
static BufferHeapTupleTableSlot *
row_of_scan(PlanState *input)
{
	TupleTableSlot *slot;

	switch (nodeTag(input))
	{
		case T_SeqScanState:
		case T_IndexScanState:
		case T_BitmapHeapScanState:
		case T_TidScanState:
		case T_TidRangeScanState:
			slot = ((ScanState *) input)->ss_ScanTupleSlot;
			return TTS_IS_BUFFERTUPLE(slot) ? (BufferHeapTupleTableSlot *) slot : NULL;
		default:
			return NULL;
	}
}

FgTap *
fg_tap_begin(ModifyTableState *node, Oid owner)
{
	ResultRelInfo *named = node->rootResultRelInfo;
	EState	   *estate = node->ps.state;
	FgTap	   *tap;

	if ((node->operation != CMD_DELETE && node->operation != CMD_UPDATE) ||
		(estate->es_top_eflags & EXEC_FLAG_SKIP_TRIGGERS) != 0 ||
		node->mt_transition_capture == NULL || named->ri_TrigDesc == NULL ||
		!only_archiver(named->ri_TrigDesc, node->operation) ||
		!plain_relations(node))
		return NULL;

	tap = MemoryContextAlloc(estate->es_query_cxt, sizeof(FgTap));
	tap->estate = estate;
	tap->node = node;
	tap->named = named->ri_RelationDesc;
	tap->owner = owner;
	tap->op = node->operation == CMD_DELETE ? FG_SHADOW_OP_DELETE : FG_SHADOW_OP_UPDATE;
	tap->cid = estate->es_output_cid;
	tap->scanned = row_of_scan(outerPlanState(node));
	tap->in_hand = false;
	tap->block = InvalidBlockNumber;
	tap->n_rows = 0;
	tap->rows = &tap->first;
	tap->stamped = false;
	tap->archiver = NULL;
	tap->one_archived = 0;
	tap->n_archived = &tap->one_archived;
	if (node->mt_nrels > 1)
		tap->n_archived = MemoryContextAllocZero(estate->es_query_cxt, sizeof(int64) * node->mt_nrels);

	/*
	 * The statement will not fire the trigger, nor keep rows for it.  It stays in
	 * the statement's description, as a cascade that comes back to this table has
	 * it fired from there.
	 */
	if (node->operation == CMD_DELETE)
		named->ri_TrigDesc->trig_delete_after_statement = false;
	else
		named->ri_TrigDesc->trig_update_after_statement = false;
	node->mt_transition_capture = NULL;
	return tap;
}

/* ----------------------------------------------------------------
 *		Archiving
 * ----------------------------------------------------------------
 */

/* Was this version deleted or replaced by the statement?  The page is locked. */
static inline bool
changed_by_statement(const FgTap *tap, HeapTupleHeader header)
{
	return (header->t_infomask & HEAP_XMAX_INVALID) == 0 &&
		!HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header)) &&
		HeapTupleHeaderGetCmax(header) == tap->cid;
}

static void
stamp(FgTap *tap)
{
	if (!tap->stamped)
		fg_shadow_stamp(&tap->stamp);
	tap->stamped = true;
}

/* Gets ready for rows of a page. */
static void
begin_at(FgTap *tap, FgArchiver *archiver)
{
	stamp(tap);
	fg_archiver_begin_at(archiver, tap->rri->ri_RelationDesc, tap->owner, tap->op, &tap->stamp);
	archiver->meta.fg_relation = RelationGetRelid(tap->named);
}

static FgArchiver *
begin_many(FgTap *tap)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(tap->estate->es_query_cxt);
	FgArchiver *archiver = palloc(sizeof(FgArchiver));

	begin_at(tap, archiver);
	fg_batch_begin(archiver);
	tap->how = archiver->meta.fg_how;
	MemoryContextSwitchTo(oldcontext);
	return archiver;
}

static void
archive_only(FgTap *tap, HeapTupleHeader old, uint32 length)
{
	FgArchiver	archiver;

	begin_at(tap, &archiver);
	if (fg_shadow_own_version(archiver.rel, old))
		archiver.meta.fg_how = FG_SHADOW_HOW_OWN;
	fg_archive_one(&archiver, old, length);
	table_close(archiver.shadow, NoLock);
}

/* Archives a version on a pinned page.  only: there will be no others. */
static void
archive(FgTap *tap, HeapTupleHeader old, uint32 length, bool only)
{
	if (only)
		archive_only(tap, old, length);
	else
	{
		Relation	rel = tap->rri->ri_RelationDesc;

		if (tap->archiver == NULL)
			tap->archiver = begin_many(tap);
		else if (tap->archiver->rel != rel)
			fg_archiver_turn(tap->archiver, rel);
		tap->archiver->meta.fg_how = fg_shadow_own_version(rel, old) ? FG_SHADOW_HOW_OWN : tap->how;
		fg_batch_add(tap->archiver, old, length);
	}
	tap->n_archived[tap->rri - tap->node->resultRelInfo]++;
}

/*
 * Somebody else's update came before the statement's.  Finds what the statement
 * changed: a version behind the one at "tid", each made by who ended the one
 * before.  None of them can have been removed, as the snapshot of the statement
 * is older than their end.
 */
static void
archive_later_version(FgTap *tap, ItemPointerData tid, bool only)
{
	TransactionId before = InvalidTransactionId;

	for (;;)
	{
		HeapTupleData version;
		Buffer		buffer;
		bool		ours;
		bool		more;
		TransactionId xmax;

		CHECK_FOR_INTERRUPTS();
		version.t_self = tid;
		if (!heap_fetch(tap->rri->ri_RelationDesc, SnapshotAny, &version, &buffer, false))
			return;
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		ours = changed_by_statement(tap, version.t_data);
		more = (version.t_data->t_infomask & HEAP_XMAX_INVALID) == 0 &&
			!HEAP_XMAX_IS_LOCKED_ONLY(version.t_data->t_infomask) &&
			!HeapTupleHeaderIndicatesMovedPartitions(version.t_data) &&
			!ItemPointerEquals(&version.t_data->t_ctid, &tid);
		xmax = more ? HeapTupleHeaderGetUpdateXid(version.t_data) : InvalidTransactionId;
		if (TransactionIdIsValid(before) &&
			!TransactionIdEquals(HeapTupleHeaderGetXmin(version.t_data), before))
			ours = more = false;
		tid = version.t_data->t_ctid;
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);

		if (ours)
			archive(tap, version.t_data, version.t_len, only);
		ReleaseBuffer(buffer);
		if (ours || !more)
			return;
		before = xmax;
	}
}

/* Archives the rows that were kept in mind.  last: no more will come. */
static void
archive_page(FgTap *tap, bool last)
{
	const int	n_rows = tap->n_rows;
	bool		only = last && tap->archiver == NULL && n_rows == 1;
	Relation	rel;
	Buffer		buffer;
	Page		page;
	HeapTupleHeader old[MaxHeapTuplesPerPage];
	uint32		length[MaxHeapTuplesPerPage];

	if (n_rows == 0)
		return;
	rel = tap->rri->ri_RelationDesc;
	buffer = tap->block_buffer;
	if (!BufferIsValid(buffer) ||
		!ReadRecentBuffer(fg_compat_locator(rel), MAIN_FORKNUM, tap->block, buffer))
		buffer = ReadBuffer(rel, tap->block);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	for (int i = 0; i < n_rows; i++)
	{
		ItemId		item = PageGetItemId(page, tap->rows[i]);

		old[i] = NULL;
		if (!ItemIdIsNormal(item))
			continue;
		length[i] = ItemIdGetLength(item);
		old[i] = (HeapTupleHeader) PageGetItem(page, item);
		if (!changed_by_statement(tap, old[i]))
			old[i] = NULL;
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);

	for (int i = 0; i < n_rows; i++)
	{
		if (old[i] != NULL)
			archive(tap, old[i], length[i], only);
	}
	ReleaseBuffer(buffer);

	for (int i = 0; i < n_rows; i++)
	{
		ItemPointerData tid;

		if (old[i] != NULL)
			continue;
		ItemPointerSet(&tid, tap->block, tap->rows[i]);
		archive_later_version(tap, tid, only);
	}
	tap->n_rows = 0;
}

/* ----------------------------------------------------------------
 *		What the watch calls
 * ----------------------------------------------------------------
 */

void
fg_tap_give(FgTap *tap, ResultRelInfo *rri, TupleTableSlot *slot, int64 changes)
{
	bool		isnull;
	Datum		ctid = ExecGetJunkAttribute(slot, rri->ri_RowIdAttNo, &isnull);

	if (isnull)
		return;					/* the server will say so */
	tap->given = rri;
	tap->tid = *(ItemPointer) DatumGetPointer(ctid);
	tap->buffer = tap->scanned != NULL ? tap->scanned->buffer : InvalidBuffer;
	tap->changes = changes;
	tap->in_hand = true;
}

void
fg_tap_take(FgTap *tap, int64 changes)
{
	BlockNumber block;

	if (!tap->in_hand)
		return;
	tap->in_hand = false;
	if (changes == tap->changes)
		return;
	block = ItemPointerGetBlockNumber(&tap->tid);
	if (tap->n_rows > 0 &&
		(block != tap->block || tap->given != tap->rri || tap->n_rows == MaxHeapTuplesPerPage))
		archive_page(tap, false);
	if (tap->n_rows > 0 && tap->rows == &tap->first)
	{
		tap->rows = MemoryContextAlloc(tap->estate->es_query_cxt, sizeof(OffsetNumber) * MaxHeapTuplesPerPage);
		tap->rows[0] = tap->first;
	}
	tap->rri = tap->given;
	tap->block = block;
	tap->block_buffer = tap->buffer;
	tap->rows[tap->n_rows++] = ItemPointerGetOffsetNumber(&tap->tid);
}

void
fg_tap_nested(FgTap *tap, int64 changes)
{
	if (tap->n_rows > 0 || (tap->in_hand && changes != tap->changes))
		stamp(tap);
}

void
fg_tap_end(FgTap *tap)
{
	archive_page(tap, true);
	if (tap->archiver != NULL)
	{
		fg_batch_end(tap->archiver);
		table_close(tap->archiver->shadow, NoLock);
		tap->archiver = NULL;
	}
}

void
fg_tap_check(const FgTap *tap, const ResultRelInfo *rri, int64 changes)
{
	int64		n_archived = tap->n_archived[rri - tap->node->resultRelInfo];

	if (n_archived != changes)
		fg_archive_error(rri->ri_RelationDesc,
						 psprintf(_("The statement changed " INT64_FORMAT " rows, of which " INT64_FORMAT " were archived."),
								  changes, n_archived),
						 gettext_noop("Report this, please, with the statement and what it set off."));
}

void
fg_tap_left(const FgTap *tap)
{
	fg_archive_error(tap->named, _("A part of the statement was not run to its end."),
					 gettext_noop("Report this, please, with the statement and what it set off."));
}
