/*-------------------------------------------------------------------------
 *
 * fg_restore_write.h
 *		Carries out a plain INSERT in batches.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_RESTORE_WRITE_H
#define FG_RESTORE_WRITE_H

#include "postgres.h"
#include "executor/execdesc.h"
#include "nodes/execnodes.h"
#include "nodes/pg_list.h"

/* The outermost value that was put into a column. */
typedef struct FgOutermost
{
	AttrNumber	attnum;
	Oid			type;			/* int2, int4 or int8 */
	Oid			sequence;		/* that it draws from */
	bool		ascending;		/* the highest counts, else the lowest */
	bool		any;
	int64		value;
} FgOutermost;

/*
 * Does what ExecutorRun() would for an INSERT without BEFORE ROW triggers,
 * statement triggers, row security, RETURNING and ON CONFLICT, which
 * ExecutorStart() has begun.  "images", unless NULL, is a scan of the images that
 * the statement would read, which are alike (fg_restore_image.h) to its only
 * table.  "n_tables" is the number of tables that the rows may
 * go to; "ascending": they come in the order of the key; "spare_checks": see fg_restore_fkey.h; "outermost" is a list of
 * FgOutermost *.  Returns the rows.
 */
extern int64 fg_restore_write(QueryDesc *insert, ScanState *images, int n_tables, bool ascending, bool spare_checks,
							  List *outermost);

#endif							/* FG_RESTORE_WRITE_H */
