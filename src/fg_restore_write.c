/*-------------------------------------------------------------------------
 *
 * fg_restore_write.c
 *		Carries out a plain INSERT in batches: what the executor does for each
 *		row is done here for many.
 *
 * A million rows cost the executor less for themselves than for their index
 * entries: where keys come in no order, each entry falls on another page.  So the
 * rows are written first, many with one record of WAL, and the entries of
 * btrees are sorted and put in when all rows are there, neighbours together
 * (fg_restore_entries.c).  To others that is an INSERT that takes its time
 * between row and entry; constraints that are checked at once hold all the
 * same, since each entry of a unique index is checked when it is put in.
 * The index of the key, if the rows come in its order, gets its entries with
 * each batch, likewise together; indexes of other kinds and deferrable ones get
 * them as from the executor.
 *
 * Where the shadow has the table's columns as they are, rows are made of the
 * images' bytes; then the statement's own source, which would take all values
 * apart, is not run, and a scan of the shadow beside it is.
 *
 * Everything else is the executor's own: routing to partitions, generated
 * columns, constraints, triggers after rows, which run when the caller ends the
 * statement.
 *
 * Memory: one batch, of whichever partitions, and maintenance_work_mem for all
 * sorts together; what does not fit goes to temporary files.  So that small
 * sorts of many partitions do not add up, those beyond the 64th get their
 * entries with each batch.
 *
 * Locks: those of an INSERT, which ExecutorStart() took.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplesort.h"

#include "fg_compat.h"
#include "fg_progress.h"
#include "fg_restore_entries.h"
#include "fg_restore_fkey.h"
#include "fg_restore_image.h"
#include "fg_restore_write.h"

/* a batch is written when it has so many rows or so many bytes */
#define FG_BATCH_ROWS	1000
#define FG_BATCH_BYTES	65536
/* a slot needs room for every column: so many columns in all slots together */
#define FG_BATCH_COLUMNS	64000

/* partitions whose entries are sorted; those of more are not */
#define FG_SORTED_TARGETS	64
/* partitions that keep their slots */
#define FG_KEPT_TARGETS	8

/* so many entries leave a sort together */
#define FG_SORTED_ENTRIES	1000

/* An index that gets many entries together */
typedef struct FgBatchedIndex
{
	Relation	index;
	IndexInfo  *info;
	FgEntries  *entries;
	Tuplesortstate *sort;		/* NULL: rows come in its order */
	IndexTuple *kept;			/* then, the entries of the batch */
	int			n_kept;
} FgBatchedIndex;

/* The table, or a partition of it */
typedef struct FgWriteTarget
{
	ResultRelInfo *info;		/* hash key */
	Relation	rel;
	TupleDesc	desc;			/* a copy that nobody counts the users of */
	TupleTableSlot **slots;
	int			n_slots;		/* made so far */
	int			n_used;

	int			n_indexes;		/* those that are not batched come first */
	int			n_plain;
	FgBatchedIndex *batched;
	int			n_batched;
	int			n_sorted;		/* of them */

	FgForeignKeys *fkeys;		/* NULL: all triggers are needed for all rows */
} FgWriteTarget;

typedef struct FgWriter
{
	EState	   *estate;
	ModifyTableState *state;
	ScanState  *images;			/* NULL: the statement's own source gives the
								 * rows */
	MemoryContext batch_context;	/* of rows made from images, and of entries */
	ResultRelInfo *root;
	List	   *outermost;
	int64		n_rows;

	HTAB	   *targets;		/* of a partitioned table */
	FgWriteTarget   *last;			/* the one of the last row */
	List	   *used;			/* with rows in the batch */
	int			n_targets;
	int			n_expected;		/* at most so many will there be */
	bool		ascending;		/* rows come in the order of the key */
	bool		spare_checks;	/* of foreign keys */

	int			max_rows;		/* in a batch */
	int			n_batch;
	Size		n_bytes;
	BulkInsertState bistate;	/* from the second batch on */
	FgWriteTarget   *written;		/* the last one that it was used for */
} FgWriter;


/* ---------------------------------------------------------------------
 * Indexes
 * ---------------------------------------------------------------------
 */

/* Can it get entries after the rows, and many together? */
static bool
fg_index_batched(Relation index, const IndexInfo *info)
{
	return index->rd_rel->relam == BTREE_AM_OID &&
		info->ii_ReadyForInserts &&
		info->ii_ExclusionOps == NULL &&
		index->rd_index->indimmediate;
}

/* There is nothing to gain by sorting what is sorted. */
static bool
fg_index_sorted(const FgWriter *writer, Relation index)
{
	return !writer->ascending || !(index->rd_index->indisprimary || index->rd_index->indisreplident);
}

/* Opens the indexes and puts those in front that get their entries from the executor. */
static void
fg_write_target_open_indexes(FgWriter *writer, FgWriteTarget *target)
{
	ResultRelInfo *info = target->info;
	int			sorts = Max(1, Min(writer->n_expected, FG_SORTED_TARGETS));

	if (info->ri_IndexRelationDescs == NULL)
		ExecOpenIndices(info, false);
	target->n_indexes = info->ri_NumIndices;
	target->batched = palloc0(sizeof(FgBatchedIndex) * Max(target->n_indexes, 1));
	for (int i = 0; i < target->n_indexes; i++)
	{
		Relation	index = info->ri_IndexRelationDescs[i];
		IndexInfo  *index_info = info->ri_IndexRelationInfo[i];

		if (writer->n_targets < FG_SORTED_TARGETS && fg_index_batched(index, index_info))
		{
			target->batched[target->n_batched].index = index;
			target->batched[target->n_batched++].info = index_info;
			target->n_sorted += fg_index_sorted(writer, index);
		}
		else
		{
			info->ri_IndexRelationDescs[target->n_plain] = index;
			info->ri_IndexRelationInfo[target->n_plain++] = index_info;
		}
	}
	for (int i = 0; i < target->n_batched; i++)
	{
		FgBatchedIndex *batched = &target->batched[i];

		info->ri_IndexRelationDescs[target->n_plain + i] = batched->index;
		info->ri_IndexRelationInfo[target->n_plain + i] = batched->info;
		batched->entries = fg_entries_begin(batched->index, target->rel);
		if (fg_index_sorted(writer, batched->index))
			batched->sort = tuplesort_begin_index_btree(target->rel, batched->index, false, false,
														maintenance_work_mem / (Max(target->n_sorted, 1) * sorts),
														NULL, TUPLESORT_NONE);
		else
			batched->kept = palloc(sizeof(IndexTuple) * writer->max_rows);
	}
}

/* Remembers the entries that a row will have in the batched indexes. */
static void
fg_write_target_keep_entries(FgWriter *writer, FgWriteTarget *target, TupleTableSlot *slot)
{
	EState	   *estate = writer->estate;
	ExprContext *econtext = GetPerTupleExprContext(estate);
	MemoryContext old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);

	econtext->ecxt_scantuple = slot;
	for (int i = 0; i < target->n_batched; i++)
	{
		FgBatchedIndex *batched = &target->batched[i];
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		if (batched->info->ii_Predicate != NIL)
		{
			if (batched->info->ii_PredicateState == NULL)
				batched->info->ii_PredicateState = ExecPrepareQual(batched->info->ii_Predicate, estate);
			if (!ExecQual(batched->info->ii_PredicateState, econtext))
				continue;
		}
		FormIndexDatum(batched->info, slot, estate, values, nulls);
		if (batched->sort)
			tuplesort_putindextuplevalues(batched->sort, batched->index, &slot->tts_tid, values, nulls);
		else
		{
			IndexTuple	entry;

			MemoryContextSwitchTo(writer->batch_context);
			entry = index_form_tuple(RelationGetDescr(batched->index), values, nulls);
			MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
			entry->t_tid = slot->tts_tid;
			batched->kept[batched->n_kept++] = entry;
		}
	}
	MemoryContextSwitchTo(old);
}

/* Puts the entries of the batch in. */
static void
fg_write_target_put_kept(FgWriter *writer, FgWriteTarget *target)
{
	MemoryContext old = MemoryContextSwitchTo(writer->batch_context);

	for (int i = 0; i < target->n_batched; i++)
	{
		FgBatchedIndex *batched = &target->batched[i];

		fg_entries_put(batched->entries, batched->kept, batched->n_kept);
		batched->n_kept = 0;
	}
	MemoryContextSwitchTo(old);
}

/* Puts the sorted entries in: the sort has made them as the index wants them. */
static void
fg_write_target_put_sorted(FgWriter *writer, FgWriteTarget *target)
{
	MemoryContext old = MemoryContextSwitchTo(writer->batch_context);

	for (int i = 0; i < target->n_batched; i++)
	{
		FgBatchedIndex *batched = &target->batched[i];
		IndexTuple	entry;

		if (batched->sort == NULL)
			continue;
		tuplesort_performsort(batched->sort);
		do
		{
			IndexTuple	tuples[FG_SORTED_ENTRIES];
			int			n = 0;

			while (n < FG_SORTED_ENTRIES && (entry = tuplesort_getindextuple(batched->sort, true)) != NULL)
				tuples[n++] = CopyIndexTuple(entry);
			fg_entries_put(batched->entries, tuples, n);
			MemoryContextReset(writer->batch_context);
		} while (entry != NULL);
		tuplesort_end(batched->sort);
	}
	MemoryContextSwitchTo(old);
}


/* ---------------------------------------------------------------------
 * Tables
 * ---------------------------------------------------------------------
 */

static void
fg_write_target_begin(FgWriter *writer, FgWriteTarget *target, ResultRelInfo *info)
{
	MemoryContext old = MemoryContextSwitchTo(writer->estate->es_query_cxt);

	memset(target, 0, sizeof(FgWriteTarget));
	target->info = info;
	target->rel = info->ri_RelationDesc;
	target->desc = CreateTupleDescCopyConstr(RelationGetDescr(target->rel));
	target->slots = palloc(sizeof(TupleTableSlot *) * writer->max_rows);
	fg_write_target_open_indexes(writer, target);
	if (writer->spare_checks)
		target->fkeys = fg_fkeys_begin(info);
	writer->n_targets++;
	MemoryContextSwitchTo(old);
}

/* Where does a row of the table belong?  *row becomes one of that partition. */
static FgWriteTarget *
fg_writer_route(FgWriter *writer, TupleTableSlot **row)
{
	ResultRelInfo *info;
	TupleConversionMap *map;

	if (writer->targets == NULL)
		return writer->last;

	info = ExecFindPartition(writer->state, writer->root, writer->state->mt_partition_tuple_routing,
							 *row, writer->estate);
	if (writer->last == NULL || writer->last->info != info)
	{
		bool		found;

		writer->last = hash_search(writer->targets, &info, HASH_ENTER, &found);
		if (!found)
			fg_write_target_begin(writer, writer->last, info);
	}
	map = fg_compat_partition_map(info, writer->estate);
	if (map)
		*row = execute_attr_map_slot(map->attrMap, *row, info->ri_PartitionTupleSlot);
	return writer->last;
}

static void
fg_write_target_drop_slots(FgWriteTarget *target)
{
	for (int i = 0; i < target->n_slots; i++)
		ExecDropSingleTupleTableSlot(target->slots[i]);
	target->n_slots = 0;
}


/* ---------------------------------------------------------------------
 * Rows
 * ---------------------------------------------------------------------
 */

static void
fg_write_target_flush(FgWriter *writer, FgWriteTarget *target)
{
	EState	   *estate = writer->estate;
	ResultRelInfo *info = target->info;
	MemoryContext old;

	if (writer->bistate && writer->written != target)
		ReleaseBulkInsertStatePin(writer->bistate);
	writer->written = target;
	old = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
	table_multi_insert(target->rel, target->slots, target->n_used, estate->es_output_cid, 0, writer->bistate);
	MemoryContextSwitchTo(old);

	for (int i = 0; i < target->n_used; i++)
	{
		TupleTableSlot *slot = target->slots[i];
		List	   *recheck = NIL;

		if (target->n_plain > 0)
		{
			info->ri_NumIndices = target->n_plain;
			recheck = ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL);
			info->ri_NumIndices = target->n_indexes;
		}
		fg_write_target_keep_entries(writer, target, slot);
		if (target->fkeys)
			fg_fkeys_row(target->fkeys, slot);
		ExecARInsertTriggers(estate, info, slot, recheck, NULL);
		list_free(recheck);
		ResetPerTupleExprContext(estate);
		/* rows made from images go with their context, not one by one */
		if (writer->images)
			slot->tts_flags &= ~TTS_FLAG_SHOULDFREE;
		ExecClearTuple(slot);
	}
	fg_write_target_put_kept(writer, target);
	fg_progress_add(target->n_used);
	writer->n_rows += target->n_used;
	target->n_used = 0;
	if (writer->n_targets > FG_KEPT_TARGETS)
		fg_write_target_drop_slots(target);
}

/* Writes the batch.  "more": it will not be the last one. */
static void
fg_writer_flush(FgWriter *writer, bool more)
{
	ListCell   *lc;

	if (more && writer->bistate == NULL)
		writer->bistate = GetBulkInsertState();
	foreach(lc, writer->used)
		fg_write_target_flush(writer, lfirst(lc));
	MemoryContextReset(writer->batch_context);
	list_free(writer->used);
	writer->used = NIL;
	writer->n_batch = 0;
	writer->n_bytes = 0;
}

static void
fg_writer_note_outermost(FgWriter *writer, TupleTableSlot *slot)
{
	ListCell   *lc;

	foreach(lc, writer->outermost)
	{
		FgOutermost *outermost = lfirst(lc);
		bool		isnull;
		Datum		datum = slot_getattr(slot, outermost->attnum, &isnull);
		int64		value;

		if (isnull)
			continue;
		value = outermost->type == INT2OID ? DatumGetInt16(datum) :
			outermost->type == INT4OID ? DatumGetInt32(datum) : DatumGetInt64(datum);
		if (!outermost->any || (outermost->ascending ? value > outermost->value : value < outermost->value))
			outermost->value = value;
		outermost->any = true;
	}
}

/* The slot for the next row of a target, empty */
static TupleTableSlot *
fg_writer_slot(FgWriter *writer, FgWriteTarget *target)
{
	if (target->n_used == 0)
		writer->used = lappend(writer->used, target);
	if (target->n_used == target->n_slots)
		target->slots[target->n_slots++] =
			MakeSingleTupleTableSlot(target->desc, writer->images ? &TTSOpsHeapTuple : table_slot_callbacks(target->rel));
	return target->slots[target->n_used];
}

/* The slot has a row: checks it and makes it part of the batch. */
static void
fg_writer_check(FgWriter *writer, FgWriteTarget *target, TupleTableSlot *row)
{
	row->tts_tableOid = RelationGetRelid(target->rel);
	if (RelationGetDescr(target->rel)->constr)
		ExecConstraints(target->info, row, writer->estate);
	/* a row that was routed is where it belongs */
	if (target->rel->rd_rel->relispartition && writer->targets == NULL)
		ExecPartitionCheck(target->info, row, writer->estate, true);
}

static void
fg_writer_added(FgWriter *writer, FgWriteTarget *target, uint32 length)
{
	target->n_used++;
	writer->n_batch++;
	writer->n_bytes += length;
	ResetPerTupleExprContext(writer->estate);
}

/* Adds a row of the statement's source to the batch. */
static void
fg_writer_add(FgWriter *writer, TupleTableSlot *row)
{
	FgWriteTarget *target;
	TupleConstr *constr;
	TupleTableSlot *slot;

	fg_writer_note_outermost(writer, row);
	target = fg_writer_route(writer, &row);
	constr = RelationGetDescr(target->rel)->constr;
	slot = fg_writer_slot(writer, target);

	if (constr && constr->has_generated_stored)
	{
		ExecCopySlot(slot, row);
		slot->tts_tableOid = RelationGetRelid(target->rel);
		ExecComputeStoredGenerated(target->info, writer->estate, slot, CMD_INSERT);
		row = slot;
	}
	fg_writer_check(writer, target, row);
	if (row != slot)
	{
		ExecCopySlot(slot, row);
		slot->tts_tableOid = row->tts_tableOid;
	}
	fg_writer_added(writer, target, ExecFetchSlotHeapTuple(slot, true, NULL)->t_len);
}

/* Adds the row that an image is of to the batch. */
static void
fg_writer_add_image(FgWriter *writer, FgWriteTarget *target)
{
	TupleTableSlot *slot = fg_writer_slot(writer, target);
	MemoryContext old = MemoryContextSwitchTo(writer->batch_context);
	HeapTuple	row = fg_image_row(ExecFetchSlotHeapTuple(writer->images->ss_ScanTupleSlot, false, NULL),
								   target->rel, writer->images->ss_currentRelation);

	MemoryContextSwitchTo(old);
	/* marked as the slot's own, so that it is not copied once more */
	ExecStoreHeapTuple(row, slot, true);
	fg_writer_note_outermost(writer, slot);
	fg_writer_check(writer, target, slot);
	fg_writer_added(writer, target, row->t_len);
}

static void
fg_write_target_end(FgWriter *writer, FgWriteTarget *target)
{
	fg_write_target_drop_slots(target);
	fg_write_target_put_sorted(writer, target);
}

int64
fg_restore_write(QueryDesc *insert, ScanState *images, int n_tables, bool ascending, bool spare_checks,
				 List *outermost)
{
	EState	   *estate = insert->estate;
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	FgWriter	writer = {
		.estate = estate,
		.state = castNode(ModifyTableState, insert->planstate),
		.images = images,
		.outermost = outermost,
		.n_expected = n_tables,
		.ascending = ascending,
		.spare_checks = spare_checks
	};
	FgWriteTarget	only;

	writer.root = writer.state->rootResultRelInfo;
	writer.max_rows = Max(1, Min(FG_BATCH_ROWS,
								 FG_BATCH_COLUMNS / RelationGetNumberOfAttributes(writer.root->ri_RelationDesc)));
	if (writer.state->mt_partition_tuple_routing)
	{
		HASHCTL		ctl = {
			.keysize = sizeof(ResultRelInfo *),
			.entrysize = sizeof(FgWriteTarget),
			.hcxt = CurrentMemoryContext
		};

		/* images would be of one table */
		writer.images = images = NULL;
		writer.targets = hash_create("fortress_guard restored partitions", 64, &ctl,
									 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	else
	{
		fg_write_target_begin(&writer, &only, writer.state->resultRelInfo);
		writer.last = &only;
	}

	writer.batch_context = AllocSetContextCreate(CurrentMemoryContext, "fortress_guard restored rows",
												 ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		TupleTableSlot *row;

		CHECK_FOR_INTERRUPTS();
		if (writer.n_batch >= writer.max_rows || writer.n_bytes >= FG_BATCH_BYTES)
			fg_writer_flush(&writer, true);
		row = ExecProcNode(images ? &images->ps : outerPlanState(writer.state));
		if (TupIsNull(row))
			break;
		if (images)
			fg_writer_add_image(&writer, &only);
		else
			fg_writer_add(&writer, row);
	}
	fg_writer_flush(&writer, false);
	if (writer.bistate)
		FreeBulkInsertState(writer.bistate);

	if (writer.targets)
	{
		HASH_SEQ_STATUS status;
		FgWriteTarget   *target;

		hash_seq_init(&status, writer.targets);
		while ((target = hash_seq_search(&status)) != NULL)
			fg_write_target_end(&writer, target);
		hash_destroy(writer.targets);
	}
	else
		fg_write_target_end(&writer, &only);

	estate->es_processed = writer.n_rows;
	MemoryContextSwitchTo(old);
	return writer.n_rows;
}
