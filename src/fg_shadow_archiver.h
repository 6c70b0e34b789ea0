/*-------------------------------------------------------------------------
 *
 * fg_shadow_archiver.h
 *		Filling a shadow row by row, for those who have the rows one by one.
 *
 * An archiver is begun, given rows and ended by one statement at one
 * subtransaction level.  fg_batch_begin() comes before fg_batch_add() and
 * fg_batch_end() behind it; a single row is cheaper with fg_archive_one(), which
 * needs neither.  After an error nothing has to be cleaned
 * up: memory, locks, pins and the open shadow go with the statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_SHADOW_ARCHIVER_H
#define FG_SHADOW_ARCHIVER_H

#include "postgres.h"
#include "access/heapam.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "fg_shadow.h"

/*
 * A relation whose relcache messages matter.  Targets keep the number of
 * messages that they have seen of each.
 */
typedef struct FgWatched
{
	Oid			relid;			/* hash key */
	uint64		changes;
} FgWatched;

typedef struct FgTargetKey
{
	Oid			relid;
	Oid			owner;			/* the relation that has the shadow */
} FgTargetKey;

/* How rows of a relation get into a shadow. */
typedef struct FgTarget
{
	FgTargetKey key;			/* hash key */
	Oid			shadow;
	bool		valid;			/* the rest is filled in */
	bool		copy_bytes;		/* the columns lie alike */
	int16		natts;			/* for fg_natts: columns of the owner */
	int16	   *map;			/* attribute number in the shadow for each of
								 * the relation; 0: dropped; in
								 * TopMemoryContext */
	FgWatched  *watched[3];
	uint64		seen;			/* fg_target_changes() when it was filled in */
} FgTarget;

/* What a call of archiving works on. */
typedef struct FgArchiver
{
	Relation	rel;
	Relation	shadow;
	FgTarget   *target;
	FgShadowMeta meta;
	CommandId	cid;
	int64		n_rows;

	/* for batches */
	MemoryContext context;		/* of the call */
	MemoryContext slot_context; /* the slots and what they need */
	MemoryContext batch_context;	/* emptied after each batch */
	BulkInsertState bistate;	/* from the second batch on */
	Size		n_written;		/* bytes of the batches before */
	TupleDesc	slot_desc;		/* of all slots */
	TupleTableSlot **slots;
	int			max_slots;
	int			n_slots;		/* made so far */
	int			n_used;
	Size		n_bytes;

	/* only where the shadow has indexes */
	EState	   *estate;
	ResultRelInfo *result;
	TupleTableSlot *index_slot;
} FgArchiver;

/* The place of a statement in the order of what its transaction archives. */
typedef struct FgShadowStamp
{
	TimestampTz at;
	int32		seq;
} FgShadowStamp;

/* The next place: the transaction must have, or may be given, an id. */
extern void fg_shadow_stamp(FgShadowStamp *stamp);
/* Opens and locks the shadow.  Raises ZG013 if there is none that takes rel's rows. */
extern void fg_archiver_begin(FgArchiver *archiver, Relation rel, Oid owner, char op);
/* The same at a place taken before. */
extern void fg_archiver_begin_at(FgArchiver *archiver, Relation rel, Oid owner, char op,
								 const FgShadowStamp *stamp);
/* Goes on with rows of another relation that has the same shadow. */
extern void fg_archiver_turn(FgArchiver *archiver, Relation rel);
/* Gets ready for more than one row.  What it allocates lives in the current context. */
extern void fg_batch_begin(FgArchiver *archiver);
/* Copies a row.  "length" is that of the tuple with its full header. */
extern void fg_batch_add(FgArchiver *archiver, HeapTupleHeader old, uint32 length);
extern void fg_archive_one(FgArchiver *archiver, HeapTupleHeader old, uint32 length);
/* Writes what has not been written. */
extern void fg_batch_end(FgArchiver *archiver);
/* Fails the statement whose rows could not be kept: ZG013. */
extern void fg_archive_error(Relation rel, const char *detail, const char *hint) pg_attribute_noreturn();

#endif							/* FG_SHADOW_ARCHIVER_H */
