/*-------------------------------------------------------------------------
 *
 * fg_change.c
 *		Did a guarded column of an updated row really change?
 *
 * ORMs set every column of a row, also to the value it has, and triggers have
 * the last word on what is stored.  So a policy with "columns" looks at what
 * was stored: when the node asks for its next row, it has done with the one
 * before; the version that our transaction replaced is found by the row's
 * ctid (or further along the update chain, where a concurrent update came
 * first and the node followed it), the new version by its link, and the
 * guarded columns of both are compared as they are stored.
 *
 * For UPDATE and MERGE the ctid comes with the row.  A row that comes again,
 * because a join found it several times, is not updated again: the server's
 * counters do not move.
 *
 * ON CONFLICT DO UPDATE finds its row by itself: there the projection that
 * computes the new row is the moment at which the old one is at hand.
 * Partitions come to be known only after the first row was routed to them.
 * Those with the layout of the root share its projection, which is watched
 * from the beginning.  The others have projections of their own: the first row
 * that is updated there counts as changed without a look, perhaps one more
 * than exact, never less.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "lib/ilist.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "fg_change.h"
#include "fg_counter.h"

struct FgChange
{
	dlist_node	link;			/* in "conflicts", for ON CONFLICT only */
	bool		linked;
	ModifyTableState *node;
	ResultRelInfo *rri;
	int			n_columns;
	AttrNumber *columns;
	bool		have_row;
	ItemPointerData tid;		/* of the row that the node works on */
	bool		blind;			/* ON CONFLICT: nobody saw the row's projection */
	int64		done;			/* the server's count before the row */
	Oid			conflict_rel;	/* ON CONFLICT: where the row is */
	FgChangeSeen on_seen;		/* or NULL */
	void	   *on_seen_arg;
	FgCounter	counted;		/* rows whose columns changed */
	FgCounter	seen;			/* how many of them were asked for */
	ExprState  *projection;		/* ON CONFLICT: the one that we stand before */
	ExprStateEvalFunc project;	/* what it was */
};

static dlist_head conflicts = DLIST_STATIC_INIT(conflicts);

/* Stands before the projection of ON CONFLICT DO UPDATE. */
static Datum
watched_projection(ExprState *state, ExprContext *econtext, bool *isnull)
{
	FgChange   *change = NULL;
	dlist_iter	iter;
	Datum		result;

	dlist_foreach(iter, &conflicts)
	{
		FgChange   *other = dlist_container(FgChange, link, iter.cur);

		if (other->projection != state)
			continue;
		/* several policies and partitions may watch one projection */
		other->tid = econtext->ecxt_scantuple->tts_tid;
		other->conflict_rel = econtext->ecxt_scantuple->tts_tableOid;
		other->have_row = true;
		change = other;
	}
	if (change == NULL)
		elog(ERROR, "fortress_guard has lost the watch of a running statement");

	/* the function may replace itself on its first call */
	state->evalfunc = change->project;
	result = change->project(state, econtext, isnull);
	change->project = state->evalfunc;
	state->evalfunc = watched_projection;
	return result;
}

static void
watch_projection(FgChange *change)
{
	OnConflictSetState *conflict = change->rri->ri_onConflict;
	dlist_iter	iter;

	if (conflict == NULL || conflict->oc_ProjInfo == NULL)
		return;
	change->projection = &conflict->oc_ProjInfo->pi_state;
	change->project = change->projection->evalfunc;
	dlist_foreach(iter, &conflicts)
	{
		FgChange   *other = dlist_container(FgChange, link, iter.cur);

		if (other->projection == change->projection)
			change->project = other->project;
	}
	change->projection->evalfunc = watched_projection;
	dlist_push_head(&conflicts, &change->link);
	change->linked = true;
}

/*
 * How many rows of the relation this transaction has changed, as the server
 * counts: moves to another partition are deletes, but so are the lost races of
 * ON CONFLICT.
 */
static int64
server_count(const FgChange *change)
{
	Relation	rel = change->rri->ri_RelationDesc;
	PgStat_TableXactStatus *level = NULL;
	int64		sum = 0;

	if (rel->pgstat_info == NULL && rel->pgstat_enabled)
		pgstat_assoc_relation(rel);
	if (rel->pgstat_info != NULL)
		level = rel->pgstat_info->trans;
	for (; level != NULL; level = level->upper)
	{
		sum += level->tuples_updated;
		if (change->node->operation != CMD_INSERT)
			sum += level->tuples_deleted;
	}
	return sum;
}

FgChange *
fg_change_begin(ModifyTableState *node, ResultRelInfo *rri, char **columns, int n_columns)
{
	FgChange   *change = palloc0(sizeof(FgChange));

	change->node = node;
	change->rri = rri;
	change->columns = palloc(sizeof(AttrNumber) * Max(n_columns, 1));
	for (int i = 0; i < n_columns; i++)
	{
		AttrNumber	attno = get_attnum(RelationGetRelid(rri->ri_RelationDesc), columns[i]);

		if (attno > 0)
			change->columns[change->n_columns++] = attno;
	}
	if (node->operation == CMD_INSERT)
		watch_projection(change);
	fg_counter_init(&change->counted, NULL, NULL);
	fg_counter_init(&change->seen, NULL, NULL);
	return change;
}

void
fg_change_begun_late(FgChange *change, const FgChange *root, int64 updated)
{
	if (root != NULL && root->have_row && root->projection == change->projection)
	{
		change->tid = root->tid;
		change->conflict_rel = root->conflict_rel;
		change->have_row = true;
	}
	else
	{
		change->blind = true;
		change->done = server_count(change) - updated;
	}
}

void
fg_change_on_seen(FgChange *change, FgChangeSeen seen, void *arg)
{
	change->on_seen = seen;
	change->on_seen_arg = arg;
}

void
fg_change_end(FgChange *change)
{
	if (change->linked)
		dlist_delete(&change->link);
	change->linked = false;
	fg_counter_forget(&change->counted);
	fg_counter_forget(&change->seen);
}

void
fg_change_remember(FgChange *change, TupleTableSlot *slot)
{
	ModifyTableState *node = change->node;
	bool		isnull;
	Datum		value;

	change->have_row = false;
	if (node->operation != CMD_UPDATE && node->operation != CMD_MERGE)
		return;
	change->done = server_count(change);
	if (AttributeNumberIsValid(node->mt_resultOidAttno))
	{
		value = ExecGetJunkAttribute(slot, node->mt_resultOidAttno, &isnull);
		if (isnull || DatumGetObjectId(value) != RelationGetRelid(change->rri->ri_RelationDesc))
			return;
	}
	if (!AttributeNumberIsValid(change->rri->ri_RowIdAttNo))
		return;
	value = ExecGetJunkAttribute(slot, change->rri->ri_RowIdAttNo, &isnull);
	if (isnull)
		return;					/* MERGE: not matched */
	change->tid = *(ItemPointer) DatumGetPointer(value);
	change->have_row = true;
}

static bool
value_differs(Form_pg_attribute att, Datum a, bool a_null, Datum b, bool b_null)
{
	if (a_null || b_null)
		return a_null != b_null;
	return !datum_image_eq(a, b, att->attbyval, att->attlen);
}

static bool
versions_differ(const FgChange *change, HeapTuple old, HeapTuple new)
{
	TupleDesc	desc = RelationGetDescr(change->rri->ri_RelationDesc);

	for (int i = 0; i < change->n_columns; i++)
	{
		AttrNumber	attno = change->columns[i];
		bool		old_null;
		bool		new_null;
		Datum		old_value = heap_getattr(old, attno, desc, &old_null);
		Datum		new_value = heap_getattr(new, attno, desc, &new_null);

		if (value_differs(TupleDescAttr(desc, attno - 1), old_value, old_null,
						  new_value, new_null))
			return true;
	}
	return false;
}

/*
 * The new version of a row that was moved to another partition is in the slot
 * that it was inserted from: in the root's layout where this partition's differs
 * from it, else in this partition's own.  NULL: it is not there.
 */
static TupleTableSlot *
moved_slot(const FgChange *change, bool *converted)
{
	TupleTableSlot *moved;

	*converted = ExecGetChildToRootMap(change->rri) != NULL;
	moved = *converted ? change->node->mt_root_tuple_slot : change->rri->ri_newTupleSlot;
	return moved == NULL || TTS_EMPTY(moved) ? NULL : moved;
}

/* That version as a tuple of this partition, palloc'd, or NULL. */
static HeapTuple
moved_tuple(const FgChange *change)
{
	TupleDesc	desc = RelationGetDescr(change->rri->ri_RelationDesc);
	Oid			root = RelationGetRelid(change->node->rootResultRelInfo->ri_RelationDesc);
	bool		converted;
	TupleTableSlot *moved = moved_slot(change, &converted);
	Datum	   *values;
	bool	   *nulls;

	if (moved == NULL)
		return NULL;
	if (!converted)
		return ExecCopySlotHeapTuple(moved);
	values = palloc0(sizeof(Datum) * desc->natts);
	nulls = palloc(sizeof(bool) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		AttrNumber	moved_attno = att->attisdropped ? InvalidAttrNumber : get_attnum(root, NameStr(att->attname));

		nulls[i] = true;
		if (moved_attno > 0)
			values[i] = slot_getattr(moved, moved_attno, &nulls[i]);
	}
	return heap_form_tuple(desc, values, nulls);
}

/* versions_differ() for a row that was moved to another partition */
static bool
moved_row_differs(const FgChange *change, HeapTuple old)
{
	Relation	rel = change->rri->ri_RelationDesc;
	TupleDesc	desc = RelationGetDescr(rel);
	bool		converted;
	TupleTableSlot *moved = moved_slot(change, &converted);
	Oid			root = RelationGetRelid(change->node->rootResultRelInfo->ri_RelationDesc);

	if (moved == NULL)
		return true;
	for (int i = 0; i < change->n_columns; i++)
	{
		AttrNumber	attno = change->columns[i];
		Form_pg_attribute att = TupleDescAttr(desc, attno - 1);
		AttrNumber	moved_attno = converted ? get_attnum(root, NameStr(att->attname)) : attno;
		bool		old_null;
		bool		new_null;
		Datum		old_value = heap_getattr(old, attno, desc, &old_null);
		Datum		new_value;

		if (moved_attno <= 0)
			return true;
		new_value = slot_getattr(moved, moved_attno, &new_null);
		if (value_differs(att, old_value, old_null, new_value, new_null))
			return true;
	}
	return false;
}

/*
 * Finds what our transaction made of the row at *tid and tells whether it
 * changed.  False also where it was not updated by us.  *seen: it was updated,
 * moved or deleted.
 */
static bool
row_changed(const FgChange *change, bool *seen)
{
	Relation	rel = change->rri->ri_RelationDesc;
	HeapTupleData old;
	HeapTupleData new;
	Buffer		old_buffer;
	Buffer		new_buffer;
	bool		moved;
	bool		deleted;
	bool		changed;

	old.t_self = change->tid;
	for (;;)
	{
		HeapTupleHeader header;
		TransactionId xmax;
		ItemPointerData next;

		CHECK_FOR_INTERRUPTS();
		if (!heap_fetch(rel, SnapshotAny, &old, &old_buffer, false))
			return false;
		header = old.t_data;
		next = header->t_ctid;
		if ((header->t_infomask & HEAP_XMAX_INVALID) != 0 ||
			HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask))
		{
			ReleaseBuffer(old_buffer);
			return false;
		}
		xmax = HeapTupleHeaderGetUpdateXid(header);
		if (TransactionIdIsCurrentTransactionId(xmax))
			break;
		/* somebody else's update: the node went on to the next version */
		ReleaseBuffer(old_buffer);
		if (HeapTupleHeaderIndicatesMovedPartitions(header) ||
			ItemPointerEquals(&next, &old.t_self))
			return false;
		old.t_self = next;
	}

	*seen = true;
	moved = HeapTupleHeaderIndicatesMovedPartitions(old.t_data);
	deleted = !moved && ItemPointerEquals(&old.t_data->t_ctid, &old.t_self);
	if (moved)
	{
		changed = moved_row_differs(change, &old);
		if (change->on_seen != NULL)
			change->on_seen(change->on_seen_arg, rel, &old, moved_tuple(change), false);
	}
	else
	{
		bool		found = false;

		new.t_self = old.t_data->t_ctid;
		if (!deleted)
			found = heap_fetch(rel, SnapshotAny, &new, &new_buffer, false);
		changed = !deleted && (!found || versions_differ(change, &old, &new));
		if (change->on_seen != NULL)
			change->on_seen(change->on_seen_arg, rel, &old, found ? &new : NULL, deleted);
		if (found)
			ReleaseBuffer(new_buffer);
	}
	ReleaseBuffer(old_buffer);
	return changed;
}

/* Has the node changed the row that it was given? */
static bool
row_in_hand_changed(const FgChange *change, bool *seen)
{
	if (change->node->operation == CMD_INSERT)
	{
		if (change->conflict_rel != RelationGetRelid(change->rri->ri_RelationDesc))
			return false;
	}
	else if (server_count(change) == change->done)
		return false;
	return row_changed(change, seen);
}

void
fg_change_compare(FgChange *change, bool done)
{
	int64		rows = 0;
	bool		seen = false;

	if (change->blind)
		rows = Max(server_count(change) - change->done, 0);
	else if (change->have_row && row_in_hand_changed(change, &seen))
		rows = 1;
	if (done || rows > 0 || seen)
	{
		change->blind = false;
		change->have_row = false;
	}
	if (rows > 0)
		fg_counter_add(&change->counted, rows);
}

int64
fg_change_new(FgChange *change)
{
	int64		new = change->counted.total - change->seen.total;

	if (new != 0)
		fg_counter_add(&change->seen, new);
	return Max(new, 0);
}
