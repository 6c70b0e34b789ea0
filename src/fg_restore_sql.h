/*-------------------------------------------------------------------------
 *
 * fg_restore_sql.h
 *		The statement that restores relations from their shadows, as text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_RESTORE_SQL_H
#define FG_RESTORE_SQL_H

#include "postgres.h"
#include "access/attnum.h"
#include "nodes/pg_list.h"

/* on_conflict */
typedef enum FgConflict
{
	FG_CONFLICT_ERROR,
	FG_CONFLICT_SKIP,
	FG_CONFLICT_OVERWRITE
} FgConflict;

/* A live column that base table and shadow both have. */
typedef struct FgRestoreColumn
{
	const char *name;			/* quoted */
	AttrNumber	attnum;			/* in the base table */
	int			known_from;		/* images with fg_natts of this or more have it */
	const char *as_base;		/* ::type to make the base table's value
								 * comparable, or "" */
	const char *as_shadow;		/* the same for the image's value */
	bool		exact;			/* equal values of its type are the same bytes */
	bool		generated;
	bool		identity_always;
	Oid			sequence;		/* that it owns, or InvalidOid */
	bool		ascending;		/* that sequence */
} FgRestoreColumn;

/* A column that tells one row from another. */
typedef struct FgRestoreKey
{
	const FgRestoreColumn *column;
	const char *equals;			/* OPERATOR(schema.=) of its index */
} FgRestoreKey;

typedef struct FgRestorePlan
{
	const char *tag;			/* in front of the names of its CTEs, "" or
								 * "t1_", say */
	Oid			relid;
	const char *table;			/* quoted, qualified */
	bool		only;			/* without inheritance children */
	Oid			shadow;
	const char *source;			/* what to write after FROM to read the shadow */
	List	   *columns;		/* of FgRestoreColumn * */
	List	   *keys;			/* of FgRestoreKey *; NIL: the table has none */
	const char *condition;		/* which rows of the shadow are chosen */
	bool		all_later;		/* every later change is chosen too */
	const char *no_earlier;		/* no chosen change, and so none later than
								 * one, is outside this condition */
	bool		by_xid;			/* the changes of one transaction are chosen */
	bool		many_xids;		/* which had subtransactions */
	FgConflict	on_conflict;
	bool		dry_run;
	List	   *natts;			/* IntList: the fg_natts that occur, ascending */
	int64		n_chosen;		/* rows of the shadow */
	bool		has_moves;		/* updates have changed keys */
	bool		has_own;		/* images of rows that their transaction had put
								 * in itself (FG_SHADOW_HOW_OWN) are among them */
	bool		has_updates;	/* updates are among them */
	bool		has_others;		/* deletes and the like are */
} FgRestorePlan;

/* Columns of the result of the restoring statement, one row per plan and fg_op */
enum
{
	FG_RESULT_PLAN = 1,			/* int4: place in the list of plans */
	FG_RESULT_OP,			/* "char": of the first chosen change of a row */
	FG_RESULT_ROWS,				/* put back, or would be */
	FG_RESULT_CONFLICTS,
	FG_RESULT_PLANNED,			/* rows to insert or update, by the plan */
	FG_RESULT_DONE,				/* rows inserted and updated, of all fg_op */
	FG_RESULT_EXAMPLES,			/* text: some keys in conflict, of all fg_op */
	FG_RESULT_SEQUENCES			/* int8[]: for each column with a sequence its
								 * outermost inserted value */
};

/* Which operations and numbers of columns occur: (fg_op, fg_natts, rows, own). */
extern char *fg_restore_survey_sql(const FgRestorePlan *plan);
/* Restores, or for a dry run counts; plans is a list of FgRestorePlan *. */
extern char *fg_restore_sql(List *plans);

#endif							/* FG_RESTORE_SQL_H */
