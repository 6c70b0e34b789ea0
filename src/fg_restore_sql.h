/*-------------------------------------------------------------------------
 *
 * fg_restore_sql.h
 *		The statement that restores one relation from its shadow, as text.
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
	FgConflict	on_conflict;
	bool		dry_run;
	List	   *natts;			/* IntList: the fg_natts that occur, ascending */
	int64		n_chosen;		/* rows of the shadow */
	bool		has_updates;	/* updates are among them */
	bool		has_others;		/* deletes and the like are */
} FgRestorePlan;

/* Columns of the result of the restoring statement, one row per fg_op */
enum
{
	FG_RESULT_OP = 1,			/* "char": of the first chosen change of a row */
	FG_RESULT_ROWS,				/* put back, or would be */
	FG_RESULT_CONFLICTS,
	FG_RESULT_PLANNED,			/* rows to insert or update, by the plan */
	FG_RESULT_DONE,				/* rows inserted and updated, of all fg_op */
	FG_RESULT_EXAMPLES,			/* text: some keys in conflict, of all fg_op */
	FG_RESULT_SEQUENCES			/* and following: per column with a sequence,
								 * int8: its outermost inserted value */
};

/* Which operations and numbers of columns occur, ordered by the latter: (fg_op, fg_natts, rows). */
extern char *fg_restore_survey_sql(const FgRestorePlan *plan);
/* Restores, or for a dry run counts. */
extern char *fg_restore_sql(const FgRestorePlan *plan);

#endif							/* FG_RESTORE_SQL_H */
