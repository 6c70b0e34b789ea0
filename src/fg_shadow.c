/*-------------------------------------------------------------------------
 *
 * fg_shadow.c
 *		Archiving: copies old row images into shadow tables.
 *
 * A shadow row is the base row with 32 bytes of metadata in front.  Because
 * the metadata columns are exactly eight, never null and 32 bytes without
 * padding, the base tuple's data area and null bitmap can be copied as bytes:
 * alignment is kept and the bitmap moves by one whole byte.  That needs the
 * columns of the shadow to lie like those of the base table, dropped ones
 * included, which fg_shadow_ddl.c sees to.  Whether they do is looked at once
 * per relation and remembered ("target"); relcache messages for the
 * relation, the shadow's owner or the shadow make it be looked at again.
 * Where the layouts differ, or a tuple is older than the last ADD COLUMN with a
 * default, the image is taken apart and put together by column names.
 *
 * A statement of one row must not pay for what makes a million rows fast, so
 * it has a path of its own: no slots, no batch context, no bulk insert.
 *
 * Rows are written below the executor: the user's rights on the shadow do not
 * matter and nothing of the user's runs, except expressions of indexes that
 * somebody may have put on a shadow.
 *
 * What cannot be kept whole is an error (ZG013), so that the statement which
 * would have lost it fails.
 *
 * Locks: the caller has the base table locked; the shadow is locked
 * RowExclusiveLock after it and stays locked until the transaction ends.  All
 * state here belongs to the backend.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/hio.h"
#include "access/sysattr.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "fg_catalog.h"
#include "fg_errors.h"
#include "fg_shadow.h"
#include "fg_shadow_archiver.h"

/* a batch is written when it has so many rows or so many bytes */
#define FG_BATCH_ROWS	1000
#define FG_BATCH_BYTES	65536
/* a slot needs room for every column: so many columns in all slots together */
#define FG_BATCH_COLUMNS	64000

/* the bits of a tuple header that tell about its data */
#define FG_DATA_BITS	(HEAP_HASNULL | HEAP_HASVARWIDTH | HEAP_HASEXTERNAL)

static HTAB *fg_targets = NULL;
static FgTarget *fg_last_target = NULL; /* entries stay where they are */
static HTAB *fg_watched = NULL;
static uint64 fg_all_changes = 0;	/* messages for every relation */

/* fg_seq: the last number given, and in which transaction */
static FullTransactionId fg_seq_xid;
static int32 fg_seq_last = 0;
static TimestampTz fg_at_last = 0;	/* the last fg_at given */


/* ---------------------------------------------------------------------
 * Targets
 * ---------------------------------------------------------------------
 */

/* Relcache callback: must not raise errors. */
static void
fg_shadow_relcache_changed(Datum arg, Oid relid)
{
	FgWatched  *watched;

	if (!OidIsValid(relid))
	{
		fg_all_changes++;
		return;
	}
	watched = hash_search(fg_watched, &relid, HASH_FIND, NULL);
	if (watched)
		watched->changes++;
}

static void
fg_targets_init(void)
{
	HASHCTL		ctl;

	if (fg_targets)
		return;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(FgWatched);
	if (!fg_watched)
		fg_watched = hash_create("fortress_guard shadow changes", 64, &ctl, HASH_ELEM | HASH_BLOBS);

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(FgTargetKey);
	ctl.entrysize = sizeof(FgTarget);
	fg_targets = hash_create("fortress_guard shadow targets", 64, &ctl, HASH_ELEM | HASH_BLOBS);

	CacheRegisterRelcacheCallback(fg_shadow_relcache_changed, (Datum) 0);
}

static FgWatched *
fg_watch(Oid relid)
{
	FgWatched  *watched;
	bool		found;

	watched = hash_search(fg_watched, &relid, HASH_ENTER, &found);
	if (!found)
		watched->changes = 0;
	return watched;
}

/* A number that grows with every message that concerns a target. */
static inline uint64
fg_target_changes(const FgTarget *target)
{
	return fg_all_changes + target->watched[0]->changes +
		target->watched[1]->changes + target->watched[2]->changes;
}

/* Can the bytes of a value of "base" lie in "shadow"? */
static inline bool
fg_same_layout(Form_pg_attribute base, Form_pg_attribute shadow)
{
	return base->attlen == shadow->attlen &&
		base->attalign == shadow->attalign &&
		base->attbyval == shadow->attbyval;
}

/* Is "shadow" the column that keeps the values of live column "base"? */
static bool
fg_same_column(Form_pg_attribute base, Form_pg_attribute shadow)
{
	return !shadow->attisdropped &&
		strcmp(NameStr(base->attname), NameStr(shadow->attname)) == 0 &&
		getBaseType(base->atttypid) == shadow->atttypid;
}

#define FG_HINT_STEP	gettext_noop("Calling fortress.protect() for the protected table again brings its archive into step.")
#define FG_HINT_NONE	gettext_noop("Protected with archive 'none', the table lets such rows go without a copy.")

void
fg_archive_error(Relation rel, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FG_ARCHIVE_FAILED),
			 errmsg("could not archive rows of table \"%s\"", RelationGetRelationName(rel)),
			 errdetail_internal("%s", detail),
			 errhint("%s", _(hint)),
			 errtable(rel)));
}

/*
 * Compares the columns of a relation and its shadow and fills in the target.
 * Both are locked, so neither changes meanwhile.
 */
static void
fg_target_fill(FgTarget *target, Relation rel, Relation shadow)
{
	TupleDesc	base_desc = RelationGetDescr(rel);
	TupleDesc	shadow_desc = RelationGetDescr(shadow);
	int16	   *map;
	bool		copy_bytes;
	int			natts = base_desc->natts;

	if (shadow->rd_rel->relkind != RELKIND_RELATION ||
		shadow->rd_tableam != GetHeapamTableAmRoutine() ||
		shadow_desc->natts < FG_SHADOW_N_META)
		fg_archive_error(rel, psprintf(_("\"%s\" is not an archive."), RelationGetRelationName(shadow)),
						 FG_HINT_STEP);

	map = MemoryContextAllocZero(CurrentMemoryContext, sizeof(int16) * Max(natts, 1));
	copy_bytes = FG_SHADOW_N_META + natts <= shadow_desc->natts;

	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute base = TupleDescAttr(base_desc, i);
		int			at = FG_SHADOW_N_META + i;

		if (at < shadow_desc->natts && !fg_same_layout(base, TupleDescAttr(shadow_desc, at)))
			copy_bytes = false;
		if (base->attisdropped)
			continue;
		if (at >= shadow_desc->natts || !fg_same_column(base, TupleDescAttr(shadow_desc, at)))
		{
			copy_bytes = false;
			for (at = FG_SHADOW_N_META; at < shadow_desc->natts; at++)
				if (fg_same_column(base, TupleDescAttr(shadow_desc, at)))
					break;
			if (at == shadow_desc->natts)
				fg_archive_error(rel, psprintf(_("The archive \"%s\" has no column \"%s\" of type %s."),
											   RelationGetRelationName(shadow), NameStr(base->attname),
											   format_type_be(getBaseType(base->atttypid))),
								 FG_HINT_STEP);
		}
		map[i] = at + 1;
	}

	if (copy_bytes || RelationGetRelid(rel) == target->key.owner)
		target->natts = natts;
	else
	{
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(target->key.owner));

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for relation %u", target->key.owner);
		target->natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
		ReleaseSysCache(tuple);
	}

	if (target->map)
	{
		pfree(target->map);
		target->map = NULL;
	}
	target->map = MemoryContextAlloc(TopMemoryContext, sizeof(int16) * Max(natts, 1));
	memcpy(target->map, map, sizeof(int16) * natts);
	pfree(map);
	target->copy_bytes = copy_bytes;
}

/*
 * Opens and locks the shadow that rows of rel go to; *found is how they get
 * there.  Raises ZG013 if there is none.
 */
static Relation
fg_target_open(Relation rel, Oid owner, FgTarget **found)
{
	FgTargetKey key;
	FgTarget   *target = fg_last_target;
	bool		known;

	key.relid = RelationGetRelid(rel);
	key.owner = owner;
	if (target == NULL || target->key.relid != key.relid || target->key.owner != key.owner)
	{
		fg_targets_init();
		target = hash_search(fg_targets, &key, HASH_ENTER, &known);
		if (!known)
		{
			target->valid = false;
			target->map = NULL;
		}
		fg_last_target = target;
	}
	*found = target;

	/* with no news of the shadow when it is locked, it is there as it was */
	if (target->valid && target->seen == fg_target_changes(target))
	{
		LockRelationOid(target->shadow, RowExclusiveLock);
		if (target->seen == fg_target_changes(target))
		{
			Relation	shadow = table_open(target->shadow, NoLock);

			if (target->seen == fg_target_changes(target))
				return shadow;
			table_close(shadow, NoLock);
		}
		UnlockRelationOid(target->shadow, RowExclusiveLock);
	}

	for (;;)
	{
		Relation	shadow;

		if (target->valid && target->seen != fg_target_changes(target))
			target->valid = false;

		if (!target->valid)
		{
			target->shadow = fg_catalog_get_shadow(owner);
			if (!OidIsValid(target->shadow))
				fg_archive_error(rel, _("The table has no archive."), FG_HINT_STEP);
			target->watched[0] = fg_watch(key.relid);
			target->watched[1] = fg_watch(owner);
			target->watched[2] = fg_watch(target->shadow);
			target->seen = fg_target_changes(target);
		}

		/*
		 * Taking the lock may bring news.  A server that throws its caches away
		 * to test (debug_discard_caches) brings them always, and means nothing.
		 */
		shadow = try_table_open(target->shadow, RowExclusiveLock);
		if (shadow == NULL && !target->valid)
			fg_archive_error(rel, _("The archive of the table is gone."), FG_HINT_STEP);
		if (shadow && (target->seen == fg_target_changes(target) || debug_discard_caches > 0))
		{
			if (!target->valid)
			{
				fg_target_fill(target, rel, shadow);
				target->valid = true;
			}
			return shadow;
		}
		if (shadow)
			table_close(shadow, RowExclusiveLock);
		target->valid = false;
	}
}


/* ---------------------------------------------------------------------
 * Images
 * ---------------------------------------------------------------------
 */

void
fg_shadow_stamp(FgShadowStamp *stamp)
{
	FullTransactionId xid = GetTopFullTransactionId();

	if (!FullTransactionIdEquals(xid, fg_seq_xid))
	{
		fg_seq_xid = xid;
		fg_seq_last = 0;
		fg_shadow_note_archived();
	}
	/* of one session, later rows have a later time, whatever becomes of the clock */
	fg_at_last = Max(GetCurrentTimestamp(), fg_at_last + 1);
	stamp->at = fg_at_last;
	stamp->seq = ++fg_seq_last;
}

/* Fills in the metadata of all rows of one call. */
static void
fg_meta_fill(FgShadowMeta *meta, Relation rel, const FgTarget *target, char op, const FgShadowStamp *stamp)
{
	StaticAssertStmt(sizeof(FgShadowMeta) == FG_SHADOW_META_SIZE, "metadata must be 32 bytes");
	StaticAssertStmt(offsetof(FgShadowMeta, fg_how) == FG_SHADOW_META_SIZE - 1, "metadata must have no padding");

	meta->fg_at = stamp->at;
	meta->fg_xid = U64FromFullTransactionId(GetTopFullTransactionId());
	meta->fg_actor = GetSessionUserId();
	meta->fg_relation = RelationGetRelid(rel);
	meta->fg_seq = stamp->seq;
	meta->fg_natts = target->natts;
	meta->fg_op = op;
	meta->fg_how = fg_shadow_restoring() ? 'r' : IsLogicalWorker() ? 'a' : 's';
}

/* The image by columns: for other layouts and for tuples with missing values. */
static HeapTuple
fg_image_by_columns(const FgArchiver *archiver, HeapTupleHeader old, uint32 length)
{
	TupleDesc	base_desc = RelationGetDescr(archiver->rel);
	TupleDesc	shadow_desc = RelationGetDescr(archiver->shadow);
	const FgShadowMeta *meta = &archiver->meta;
	HeapTupleData tuple;
	HeapTuple	image;
	Datum	   *old_values = palloc(sizeof(Datum) * base_desc->natts);
	bool	   *old_nulls = palloc(sizeof(bool) * base_desc->natts);
	Datum	   *values = palloc0(sizeof(Datum) * shadow_desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * shadow_desc->natts);

	tuple.t_len = length;
	tuple.t_data = old;
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = RelationGetRelid(archiver->rel);
	heap_deform_tuple(&tuple, base_desc, old_values, old_nulls);

	memset(nulls, true, sizeof(bool) * shadow_desc->natts);
	memset(nulls, false, sizeof(bool) * FG_SHADOW_N_META);
	values[0] = TimestampTzGetDatum(meta->fg_at);
	values[1] = FullTransactionIdGetDatum(FullTransactionIdFromU64(meta->fg_xid));
	values[2] = ObjectIdGetDatum(meta->fg_actor);
	values[3] = ObjectIdGetDatum(meta->fg_relation);
	values[4] = Int32GetDatum(meta->fg_seq);
	values[5] = Int16GetDatum(meta->fg_natts);
	values[6] = CharGetDatum(meta->fg_op);
	values[7] = CharGetDatum(meta->fg_how);

	for (int i = 0; i < base_desc->natts; i++)
	{
		int			to = archiver->target->map[i];

		if (to > 0)
		{
			values[to - 1] = old_values[i];
			nulls[to - 1] = old_nulls[i];
		}
	}
	image = heap_form_tuple(shadow_desc, values, nulls);

	pfree(old_values);
	pfree(old_nulls);
	pfree(values);
	pfree(nulls);
	return image;
}

/*
 * Makes the shadow row of an old tuple, palloc'd in one piece.  "length" is
 * that of the tuple with its full header.
 */
static HeapTuple
fg_image_make(const FgArchiver *archiver, HeapTupleHeader old, uint32 length)
{
	TupleDesc	base_desc = RelationGetDescr(archiver->rel);
	HeapTuple	image;
	int			natts = HeapTupleHeaderGetNatts(old);

	if (!archiver->target->copy_bytes ||
		(natts < base_desc->natts && base_desc->constr && base_desc->constr->missing))
		image = fg_image_by_columns(archiver, old, length);
	else
	{
		bool		has_nulls = (old->t_infomask & HEAP_HASNULL) != 0;
		Size		header_size = SizeofHeapTupleHeader;
		Size		data_size = length - old->t_hoff;
		HeapTupleHeader new;

		if (has_nulls)
			header_size += BITMAPLEN(natts + FG_SHADOW_N_META);
		header_size = MAXALIGN(header_size);

		image = palloc(HEAPTUPLESIZE + header_size + FG_SHADOW_META_SIZE + data_size);
		new = (HeapTupleHeader) ((char *) image + HEAPTUPLESIZE);
		memset(new, 0, header_size);

		image->t_len = header_size + FG_SHADOW_META_SIZE + data_size;
		ItemPointerSetInvalid(&image->t_self);
		image->t_tableOid = RelationGetRelid(archiver->shadow);
		image->t_data = new;

		ItemPointerSetInvalid(&new->t_ctid);
		HeapTupleHeaderSetNatts(new, natts + FG_SHADOW_N_META);
		new->t_infomask = old->t_infomask & FG_DATA_BITS;
		new->t_hoff = header_size;
		if (has_nulls)
		{
			new->t_bits[0] = 0xFF;
			memcpy(&new->t_bits[1], old->t_bits, BITMAPLEN(natts));
		}
		memcpy((char *) new + header_size, &archiver->meta, FG_SHADOW_META_SIZE);
		memcpy((char *) new + header_size + FG_SHADOW_META_SIZE, (char *) old + old->t_hoff, data_size);
	}

	/* where TOAST can help it will, else the server's message would be about the shadow */
	if (unlikely(image->t_len > MaxHeapTupleSize) &&
		!OidIsValid(archiver->shadow->rd_rel->reltoastrelid))
		fg_archive_error(archiver->rel,
						 psprintf(_("A row of %u bytes and its %d bytes of metadata do not fit on a page."),
								  length, FG_SHADOW_META_SIZE),
						 FG_HINT_NONE);
	return image;
}


/* ---------------------------------------------------------------------
 * Batches
 * ---------------------------------------------------------------------
 */

void
fg_archiver_begin_at(FgArchiver *archiver, Relation rel, Oid owner, char op, const FgShadowStamp *stamp)
{
	memset(archiver, 0, sizeof(FgArchiver));
	archiver->rel = rel;
	archiver->shadow = fg_target_open(rel, owner, &archiver->target);
	fg_meta_fill(&archiver->meta, rel, archiver->target, op, stamp);
	archiver->cid = GetCurrentCommandId(true);
}

void
fg_archiver_begin(FgArchiver *archiver, Relation rel, Oid owner, char op)
{
	FgShadowStamp stamp;

	fg_shadow_stamp(&stamp);
	fg_archiver_begin_at(archiver, rel, owner, op, &stamp);
}

void
fg_archiver_turn(FgArchiver *archiver, Relation rel)
{
	FgTarget   *target;
	Relation	shadow = fg_target_open(rel, archiver->target->key.owner, &target);

	if (shadow != archiver->shadow)
		elog(ERROR, "archive of relation %u changed while it was written", RelationGetRelid(rel));
	table_close(shadow, NoLock);
	archiver->rel = rel;
	archiver->target = target;
	archiver->meta.fg_natts = target->natts;
}

void
fg_batch_begin(FgArchiver *archiver)
{
	archiver->context = CurrentMemoryContext;
	archiver->batch_context = AllocSetContextCreate(CurrentMemoryContext,
													"fortress_guard archive batch",
													ALLOCSET_DEFAULT_SIZES);
	archiver->slot_context = AllocSetContextCreate(CurrentMemoryContext,
												   "fortress_guard archive slots",
												   ALLOCSET_DEFAULT_SIZES);
	archiver->max_slots = Min(FG_BATCH_ROWS, FG_BATCH_COLUMNS / RelationGetNumberOfAttributes(archiver->shadow));
	archiver->slots = MemoryContextAlloc(archiver->slot_context, sizeof(TupleTableSlot *) * archiver->max_slots);
	archiver->slot_desc = NULL;

	if (archiver->shadow->rd_rel->relhasindex)
	{
		archiver->estate = CreateExecutorState();
		archiver->result = makeNode(ResultRelInfo);
		InitResultRelInfo(archiver->result, archiver->shadow, 0, NULL, 0);
		ExecOpenIndices(archiver->result, false);
		archiver->index_slot = MakeSingleTupleTableSlot(RelationGetDescr(archiver->shadow), &TTSOpsHeapTuple);
	}
}

/* Puts the rows that were just written into the indexes of the shadow. */
static void
fg_batch_index(FgArchiver *archiver)
{
	TupleTableSlot *slot = archiver->index_slot;

	for (int i = 0; i < archiver->n_used; i++)
	{
		HeapTuple	image = ExecFetchSlotHeapTuple(archiver->slots[i], false, NULL);

		image->t_self = archiver->slots[i]->tts_tid;
		ExecStoreHeapTuple(image, slot, false);
		ExecInsertIndexTuples(archiver->result, slot, archiver->estate, false, false, NULL, NIL);
		ExecClearTuple(slot);
		ResetPerTupleExprContext(archiver->estate);
	}
}

/*
 * Makes the state of an insertion of many rows, as yet without a ring of
 * buffers.  In a ring each page has to be written out, its WAL before it, by
 * the time that its buffer's turn comes again.  That spares what others keep in
 * the cache, so it is worth its price from the size on from which the server
 * reads a table in a ring; smaller archives lie where the rows lay.
 */
static BulkInsertState
fg_bulk_state(void)
{
	BulkInsertState bistate = GetBulkInsertState();

	FreeAccessStrategy(bistate->strategy);
	bistate->strategy = NULL;
	return bistate;
}

/* Writes the batch.  "more": it will not be the last one. */
static void
fg_batch_flush(FgArchiver *archiver, bool more)
{
	MemoryContext oldcontext;

	if (archiver->n_used == 0)
		return;

	oldcontext = MemoryContextSwitchTo(archiver->context);
	if (more && archiver->bistate == NULL)
		archiver->bistate = fg_bulk_state();
	if (archiver->bistate && archiver->bistate->strategy == NULL && archiver->n_written / BLCKSZ >= NBuffers / 4)
		archiver->bistate->strategy = GetAccessStrategy(BAS_BULKWRITE);
	archiver->n_written += archiver->n_bytes;

	MemoryContextSwitchTo(archiver->batch_context);
	table_multi_insert(archiver->shadow, archiver->slots, archiver->n_used,
					   archiver->cid, 0, archiver->bistate);
	if (archiver->result && archiver->result->ri_NumIndices > 0)
		fg_batch_index(archiver);
	MemoryContextSwitchTo(oldcontext);

	/* the images go with their context, not one by one */
	for (int i = 0; i < archiver->n_used; i++)
	{
		archiver->slots[i]->tts_flags &= ~TTS_FLAG_SHOULDFREE;
		ExecClearTuple(archiver->slots[i]);
	}
	MemoryContextReset(archiver->batch_context);
	archiver->n_used = 0;
	archiver->n_bytes = 0;
}

void
fg_batch_add(FgArchiver *archiver, HeapTupleHeader old, uint32 length)
{
	MemoryContext oldcontext;
	HeapTuple	image;

	if (archiver->n_used >= archiver->max_slots || archiver->n_bytes >= FG_BATCH_BYTES)
		fg_batch_flush(archiver, true);

	if (archiver->n_used == archiver->n_slots)
	{
		oldcontext = MemoryContextSwitchTo(archiver->slot_context);
		/* a copy of the archive's description: the relation's own would be pinned by each slot */
		if (archiver->slot_desc == NULL)
			archiver->slot_desc = CreateTupleDescCopy(RelationGetDescr(archiver->shadow));
		archiver->slots[archiver->n_slots++] = MakeSingleTupleTableSlot(archiver->slot_desc, &TTSOpsHeapTuple);
		MemoryContextSwitchTo(oldcontext);
	}

	oldcontext = MemoryContextSwitchTo(archiver->batch_context);
	image = fg_image_make(archiver, old, length);
	MemoryContextSwitchTo(oldcontext);

	/* marked as the slot's own, so that it is not copied once more */
	ExecStoreHeapTuple(image, archiver->slots[archiver->n_used++], true);
	archiver->n_bytes += image->t_len;
	archiver->n_rows++;
}

void
fg_batch_end(FgArchiver *archiver)
{
	fg_batch_flush(archiver, false);

	if (archiver->bistate)
		FreeBulkInsertState(archiver->bistate);
	if (archiver->result)
	{
		ExecDropSingleTupleTableSlot(archiver->index_slot);
		ExecCloseIndices(archiver->result);
		FreeExecutorState(archiver->estate);
		pfree(archiver->result);
	}
	MemoryContextDelete(archiver->slot_context);
	MemoryContextDelete(archiver->batch_context);
}

/* The lean path. */
void
fg_archive_one(FgArchiver *archiver, HeapTupleHeader old, uint32 length)
{
	HeapTuple	image;

	if (unlikely(archiver->shadow->rd_rel->relhasindex))
	{
		fg_batch_begin(archiver);
		fg_batch_add(archiver, old, length);
		fg_batch_end(archiver);
		return;
	}
	image = fg_image_make(archiver, old, length);
	heap_insert(archiver->shadow, image, archiver->cid, 0, NULL);
	heap_freetuple(image);
}


/* ---------------------------------------------------------------------
 * What the entries call
 * ---------------------------------------------------------------------
 */

/*
 * Copies all tuples of a store of rel's old rows.  The store's first read
 * pointer is moved.
 */
void
fg_shadow_archive_store(Relation rel, Oid shadow_owner, Tuplestorestate *old, char op,
						const FgOwnRows *own)
{
	FgArchiver	archiver;
	TupleTableSlot *slot;
	int64		n_tuples = tuplestore_tuple_count(old);
	int64		row = 0;
	char		how;

	if (n_tuples == 0)
		return;
	fg_archiver_begin(&archiver, rel, shadow_owner, op);
	how = archiver.meta.fg_how;

	slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
	tuplestore_select_read_pointer(old, 0);
	tuplestore_rescan(old);
	if (n_tuples > 1)
		fg_batch_begin(&archiver);

	while (tuplestore_gettupleslot(old, true, false, slot))
	{
		MinimalTuple tuple = ExecFetchSlotMinimalTuple(slot, NULL);
		HeapTupleHeader header = (HeapTupleHeader) ((char *) tuple - MINIMAL_TUPLE_OFFSET);
		uint32		length = tuple->t_len + MINIMAL_TUPLE_OFFSET;

		if (own != NULL)
			archiver.meta.fg_how = fg_shadow_own_row(own, row++) ? FG_SHADOW_HOW_OWN : how;
		if (n_tuples > 1)
			fg_batch_add(&archiver, header, length);
		else
			fg_archive_one(&archiver, header, length);
	}

	if (n_tuples > 1)
		fg_batch_end(&archiver);
	ExecDropSingleTupleTableSlot(slot);
	table_close(archiver.shadow, NoLock);
}

/* Copies one old row. */
void
fg_shadow_archive_tuple(Relation rel, Oid shadow_owner, HeapTuple old, char op)
{
	FgArchiver	archiver;

	fg_archiver_begin(&archiver, rel, shadow_owner, op);
	if (fg_shadow_own_version(rel, old->t_data))
		archiver.meta.fg_how = FG_SHADOW_HOW_OWN;
	fg_archive_one(&archiver, old->t_data, old->t_len);
	table_close(archiver.shadow, NoLock);
}

/* ---------------------------------------------------------------------
 * Updates of keys
 * ---------------------------------------------------------------------
 */

Bitmapset *
fg_shadow_key_columns(Relation rel)
{
	Bitmapset  *keys = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);

	return keys ? keys : RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_IDENTITY_KEY);
}

/* Are the values of the key columns other ones, byte by byte? */
static bool
fg_key_changed(TupleDesc desc, const Bitmapset *keys, TupleTableSlot *old, TupleTableSlot *new)
{
	int			i = -1;

	while ((i = bms_next_member(keys, i)) >= 0)
	{
		AttrNumber	attnum = i + FirstLowInvalidHeapAttributeNumber;
		Form_pg_attribute att;
		bool		old_null;
		bool		new_null;
		Datum		old_value;
		Datum		new_value;

		if (attnum <= 0)
			continue;
		att = TupleDescAttr(desc, attnum - 1);
		old_value = slot_getattr(old, attnum, &old_null);
		new_value = slot_getattr(new, attnum, &new_null);
		if (old_null != new_null ||
			(!old_null && !datum_image_eq(old_value, new_value, att->attbyval, att->attlen)))
			return true;
	}
	return false;
}

/* Adds an old image and the new one; both have a number of their own. */
static void
fg_batch_add_pair(FgArchiver *archiver, HeapTupleHeader old, uint32 old_length,
				  HeapTupleHeader new, uint32 new_length)
{
	int32		seq = archiver->meta.fg_seq;

	archiver->meta.fg_seq = ++fg_seq_last;
	fg_batch_add(archiver, old, old_length);
	archiver->meta.fg_op = FG_SHADOW_OP_KEY;
	fg_batch_add(archiver, new, new_length);
	archiver->meta.fg_op = FG_SHADOW_OP_UPDATE;
	archiver->meta.fg_seq = seq;
}

static HeapTupleHeader
fg_slot_header(TupleTableSlot *slot, uint32 *length)
{
	MinimalTuple tuple = ExecFetchSlotMinimalTuple(slot, NULL);

	*length = tuple->t_len + MINIMAL_TUPLE_OFFSET;
	return (HeapTupleHeader) ((char *) tuple - MINIMAL_TUPLE_OFFSET);
}

/*
 * The server adds the old and the new image of each updated row together.  Where
 * a trigger kept a row from arriving in another partition, there are fewer new
 * ones, and which belongs to which is not known: then only old ones are kept.
 */
void
fg_shadow_archive_updates(Relation rel, Oid shadow_owner, Tuplestorestate *old, Tuplestorestate *new,
						  const FgOwnRows *own)
{
	FgArchiver	archiver;
	Bitmapset  *keys = fg_shadow_key_columns(rel);
	TupleTableSlot *old_slot;
	TupleTableSlot *new_slot;
	bool		batched = false;
	int64		row = 0;
	char		how;

	if (keys == NULL || tuplestore_tuple_count(old) != tuplestore_tuple_count(new))
	{
		fg_shadow_archive_store(rel, shadow_owner, old, FG_SHADOW_OP_UPDATE, own);
		return;
	}
	if (tuplestore_tuple_count(old) == 0)
		return;
	fg_archiver_begin(&archiver, rel, shadow_owner, FG_SHADOW_OP_UPDATE);
	how = archiver.meta.fg_how;
	old_slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
	new_slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
	tuplestore_select_read_pointer(old, 0);
	tuplestore_rescan(old);
	tuplestore_select_read_pointer(new, 0);
	tuplestore_rescan(new);

	while (tuplestore_gettupleslot(old, true, false, old_slot) &&
		   tuplestore_gettupleslot(new, true, false, new_slot))
	{
		uint32		old_length;
		HeapTupleHeader old_header = fg_slot_header(old_slot, &old_length);
		bool		changed = fg_key_changed(RelationGetDescr(rel), keys, old_slot, new_slot);

		if (own != NULL)
			archiver.meta.fg_how = fg_shadow_own_row(own, row++) ? FG_SHADOW_HOW_OWN : how;
		if (tuplestore_tuple_count(old) == 1 && !changed)
		{
			fg_archive_one(&archiver, old_header, old_length);
			break;
		}
		if (!batched)
			fg_batch_begin(&archiver);
		batched = true;
		if (changed)
		{
			uint32		new_length;
			HeapTupleHeader new_header = fg_slot_header(new_slot, &new_length);

			fg_batch_add_pair(&archiver, old_header, old_length, new_header, new_length);
		}
		else
			fg_batch_add(&archiver, old_header, old_length);
	}

	if (batched)
		fg_batch_end(&archiver);
	ExecDropSingleTupleTableSlot(old_slot);
	ExecDropSingleTupleTableSlot(new_slot);
	table_close(archiver.shadow, NoLock);
}

void
fg_shadow_archive_update(Relation rel, Oid shadow_owner, HeapTuple old, HeapTuple new)
{
	FgArchiver	archiver;
	Bitmapset  *keys = fg_shadow_key_columns(rel);
	TupleTableSlot *old_slot;
	TupleTableSlot *new_slot;
	bool		changed;

	old_slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	new_slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	ExecStoreHeapTuple(old, old_slot, false);
	ExecStoreHeapTuple(new, new_slot, false);
	changed = fg_key_changed(RelationGetDescr(rel), keys, old_slot, new_slot);
	ExecDropSingleTupleTableSlot(old_slot);
	ExecDropSingleTupleTableSlot(new_slot);
	bms_free(keys);

	if (!changed)
	{
		fg_shadow_archive_tuple(rel, shadow_owner, old, FG_SHADOW_OP_UPDATE);
		return;
	}
	fg_archiver_begin(&archiver, rel, shadow_owner, FG_SHADOW_OP_UPDATE);
	if (fg_shadow_own_version(rel, old->t_data))
		archiver.meta.fg_how = FG_SHADOW_HOW_OWN;
	fg_batch_begin(&archiver);
	fg_batch_add_pair(&archiver, old->t_data, old->t_len, new->t_data, new->t_len);
	fg_batch_end(&archiver);
	table_close(archiver.shadow, NoLock);
}

/*
 * Copies every row that a TRUNCATE or DROP of rel would remove.  Nobody else
 * can change rel, so a snapshot of now sees them all; the transaction's own,
 * in REPEATABLE READ, might not.
 */
int64
fg_shadow_archive_all(Relation rel, Oid shadow_owner, char op)
{
	FgArchiver	archiver;
	TableScanDesc scan;
	HeapTuple	tuple;
	char		how;

	fg_archiver_begin(&archiver, rel, shadow_owner, op);
	how = archiver.meta.fg_how;
	if (rel->rd_tableam != GetHeapamTableAmRoutine())
		fg_archive_error(rel, _("Only tables of the access method heap can be archived."), FG_HINT_NONE);
	fg_batch_begin(&archiver);

	PushActiveSnapshot(GetLatestSnapshot());
	scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		archiver.meta.fg_how = fg_shadow_own_version(rel, tuple->t_data) ? FG_SHADOW_HOW_OWN : how;
		fg_batch_add(&archiver, tuple->t_data, tuple->t_len);
	}
	table_endscan(scan);
	fg_batch_end(&archiver);
	PopActiveSnapshot();

	table_close(archiver.shadow, NoLock);
	return archiver.n_rows;
}

/*
 * The relation whose shadow keeps rows of relid: itself, or the nearest
 * partitioned table above it that has a shadow; InvalidOid if there is none.
 */
Oid
fg_shadow_owner_of(Oid relid)
{
	Oid			owner = InvalidOid;
	List	   *ancestors;
	ListCell   *lc;

	if (OidIsValid(fg_catalog_get_shadow(relid)))
		return relid;
	if (!get_rel_relispartition(relid))
		return InvalidOid;

	ancestors = get_partition_ancestors(relid);
	foreach(lc, ancestors)
	{
		if (OidIsValid(fg_catalog_get_shadow(lfirst_oid(lc))))
		{
			owner = lfirst_oid(lc);
			break;
		}
	}
	list_free(ancestors);
	return owner;
}

Oid
fg_shadow_of(Oid relid)
{
	Oid			owner = fg_shadow_owner_of(relid);

	return OidIsValid(owner) ? fg_catalog_get_shadow(owner) : InvalidOid;
}
