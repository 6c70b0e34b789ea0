/*-------------------------------------------------------------------------
 *
 * fg_shadow.h
 *		Shadow tables: making them, keeping them in step, filling them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_SHADOW_H
#define FG_SHADOW_H

#include "postgres.h"
#include "executor/tuptable.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "fg_types.h"

/*
 * Every shadow begins with these eight NOT NULL columns, 32 bytes without
 * padding, so that a base tuple can follow as bytes: the data stays aligned
 * and the null bitmap moves by exactly one byte.
 */
#define FG_SHADOW_N_META		8
#define FG_SHADOW_META_SIZE		32

typedef struct FgShadowMeta
{
	int64		fg_at;			/* timestamptz: when the row was archived */
	uint64		fg_xid;			/* xid8: in which top-level transaction */
	Oid			fg_actor;		/* regrole: session user */
	Oid			fg_relation;	/* regclass: the table that the statement named */
	int32		fg_seq;			/* counts archiving statements in the transaction */
	int16		fg_natts;		/* columns the table had then, dropped ones included */
	char		fg_op;			/* "char": 'd'elete, 'u'pdate, 't'runcate, 'x' drop */
	char		fg_how;			/* "char": 's'tatement, 'r'estore, 'a'pply worker */
} FgShadowMeta;

#define FG_SHADOW_OP_DELETE		'd'
#define FG_SHADOW_OP_UPDATE		'u'
#define FG_SHADOW_OP_TRUNCATE	't'
#define FG_SHADOW_OP_DROP		'x'

/*
 * Makes the shadow of a protected relation, or brings the one it has into
 * step with it.  Runs as the extension's owner.  The caller holds a lock on
 * base that keeps its columns still (ShareRowExclusive or stronger).
 */
extern Oid	fg_shadow_ensure(Relation base);
/* The same, for a relation whose policy has archiving and whose columns changed. */
extern void fg_shadow_sync(Oid relid);
/* The shadow that relid's rows go to; InvalidOid if it has none. */
extern Oid	fg_shadow_of(Oid relid);
/* The relation that has it: relid or a partitioned table above; InvalidOid too. */
extern Oid	fg_shadow_owner_of(Oid relid);

/*
 * What kept a column of the shadow's owner before its type was changed, the
 * latest first: a list of FgFormerColumn *.
 */
typedef struct FgFormerColumn
{
	const char *name;
	Oid			type;
} FgFormerColumn;

extern List *fg_shadow_former_columns(Relation shadow, Oid owner, AttrNumber attnum);

/*
 * Copies old row images.  "shadow_owner" is the relation that has the shadow:
 * rel itself, or the partitioned table above it; images are converted where
 * the layouts differ.  All raise ZG013 if a row cannot be kept whole.
 */
extern void fg_shadow_archive_store(Relation rel, Oid shadow_owner, Tuplestorestate *old, char op);
extern void fg_shadow_archive_tuple(Relation rel, Oid shadow_owner, HeapTuple old, char op);
/* Every row of rel (a plain table), as the latest committed state plus our own
 * changes show them; the caller holds AccessExclusiveLock.  Returns the rows. */
extern int64 fg_shadow_archive_all(Relation rel, Oid shadow_owner, char op);

/* While true, rows are marked as archived by a restore ('r'). */
extern void fg_shadow_set_restoring(bool restoring);

#endif							/* FG_SHADOW_H */
