/*-------------------------------------------------------------------------
 *
 * fg_restore_plan.h
 *		What a restore needs to know of a relation and its shadow.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_RESTORE_PLAN_H
#define FG_RESTORE_PLAN_H

#include "postgres.h"
#include "utils/relcache.h"
#include "fg_restore_sql.h"

#define FG_N_BOUNDS		3		/* since, until, xid */
#define FG_N_PARAMETERS	(FG_N_BOUNDS + 1)

/* What the caller asked for. */
typedef struct FgRestoreRequest
{
	Oid			relid;			/* InvalidOid: undo, of a whole transaction */
	Datum		values[FG_N_PARAMETERS];	/* since, until, xid; and an xid[]: what
											 * its row versions have as xmin */
	char		nulls[FG_N_PARAMETERS]; /* as SPI wants them: 'n' or ' ' */
	TransactionId *xids;		/* what goes into that array */
	int			n_xids;
	const char *filter;			/* NULL: none */
	FgConflict	on_conflict;
	bool		dry_run;
} FgRestoreRequest;

/* Raises a syntax error unless the text is one SQL expression on its own. */
extern void fg_restore_filter_check(const char *filter);
/* schema.relation, quoted; palloc'd */
extern char *fg_restore_name(Oid relid);

/*
 * Each fills in its part of a plan that knows relid and shadow.  "owner" is the
 * relation that has the shadow: rel, or a partitioned table above it.
 */
extern void fg_restore_plan_columns(FgRestorePlan *plan, Relation rel, Relation shadow, Oid owner);
/* Leaves the keys empty if there are none that the images have. */
extern void fg_restore_plan_keys(FgRestorePlan *plan, Relation rel);
/* Raises an error if a rule of the table is in the way. */
extern void fg_restore_plan_rules(const FgRestorePlan *plan, Relation rel);
/* Which rows of the shadow are chosen, as a condition on its columns */
extern char *fg_restore_plan_condition(const FgRestoreRequest *request, Oid relid, Oid owner);
/* Is it one relation that the images are read from? */
extern bool fg_restore_plan_one_source(const FgRestorePlan *plan);
/* SQL for where an image lies, NULL if that is not known */
extern const char *fg_restore_plan_place(const FgRestorePlan *plan);
/*
 * What was done at one time lies in one place: the condition for images of which
 * it is known that they lie between these two places, in a shadow of so many
 * pages, so that the rest of it need not be read.
 */
extern const char *fg_restore_plan_narrow(const FgRestorePlan *plan, BlockNumber n_blocks,
										  const ItemPointerData *first, const ItemPointerData *last);

#endif							/* FG_RESTORE_PLAN_H */
