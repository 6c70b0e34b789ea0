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
#include "access/htup.h"
#include "executor/tuptable.h"
#include "nodes/bitmapset.h"
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
	char		fg_op;			/* "char": 'd'elete, 'u'pdate, 't'runcate, 'x' drop,
								 * 'k' the new image of an updated key, 'c' a row
								 * that stayed, before a column lost its values */
	char		fg_how;			/* "char": 's'tatement, 'r'estore, 'a'pply worker,
								 * 'i' any of them, of a row that this transaction
								 * had put in itself */
} FgShadowMeta;

/* the column of fg_op */
#define FG_SHADOW_OP_ATTNUM		7

#define FG_SHADOW_OP_DELETE		'd'
#define FG_SHADOW_OP_UPDATE		'u'
#define FG_SHADOW_OP_TRUNCATE	't'
#define FG_SHADOW_OP_DROP		'x'
#define FG_SHADOW_OP_KEY		'k'
#define FG_SHADOW_OP_COLUMN		'c'
/* the condition of images that tell of a change of their row */
#define FG_SHADOW_IS_CHANGE		"fg_op OPERATOR(pg_catalog.<>) 'k' AND fg_op OPERATOR(pg_catalog.<>) 'c'"

#define FG_SHADOW_HOW_OWN		'i'

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
/* Which rows of a statement's old ones its transaction had put in itself. */
typedef struct FgOwnRows FgOwnRows;

/* own: of the rows of "old", or NULL. */
extern void fg_shadow_archive_store(Relation rel, Oid shadow_owner, Tuplestorestate *old, char op,
									const FgOwnRows *own);
extern void fg_shadow_archive_tuple(Relation rel, Oid shadow_owner, HeapTuple old, char op);
/*
 * The same for updates that may have changed keys.  Where one did, the new image
 * is kept as well, with the old one's fg_seq, which no other row of the
 * transaction has: so a restore finds the row that is meant.
 */
extern void fg_shadow_archive_updates(Relation rel, Oid shadow_owner, Tuplestorestate *old, Tuplestorestate *new,
									  const FgOwnRows *own);
extern void fg_shadow_archive_update(Relation rel, Oid shadow_owner, HeapTuple old, HeapTuple new);
/* The columns that tell rows apart, as RelationGetIndexAttrBitmap(): of the
 * primary key, else of the replica identity; NULL: none.  Palloc'd. */
extern Bitmapset *fg_shadow_key_columns(Relation rel);
/* Every row of rel (a plain table), as the latest committed state plus our own
 * changes show them; the caller holds AccessExclusiveLock.  Returns the rows. */
extern int64 fg_shadow_archive_all(Relation rel, Oid shadow_owner, char op);

/* Had this transaction put in the row of which rel had that version? */
extern bool fg_shadow_own_version(Relation rel, HeapTupleHeader version);
/*
 * Notes it of the next row that a statement on "named" updated or deleted, in a row
 * trigger; the statement trigger takes the notes, if they are of as many rows as
 * it has (else NULL), and frees them.
 */
extern void fg_shadow_own_note(Oid named, bool updated, bool own_version);
extern FgOwnRows *fg_shadow_own_take(Oid named, bool updated, int64 n_rows);
extern void fg_shadow_own_free(FgOwnRows *own);
extern bool fg_shadow_own_row(const FgOwnRows *own, int64 row);
/* Where rows are left out: a row's note becomes that of an earlier place. */
extern void fg_shadow_own_move(FgOwnRows *own, int64 row, int64 place);
extern void fg_shadow_own_setup(void);	/* once at load */

/*
 * While true, rows are marked as archived by a restore ('r').  Ends by itself with
 * the (sub)transaction, if that fails.
 */
extern void fg_shadow_set_restoring(bool restoring);
extern bool fg_shadow_restoring(void);
/* Rows were archived in this transaction: its subtransactions will be kept. */
extern void fg_shadow_note_archived(void);
extern void fg_shadow_setup(void);	/* once at load */

#endif							/* FG_SHADOW_H */
