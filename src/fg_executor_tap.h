/*-------------------------------------------------------------------------
 *
 * fg_executor_tap.h
 *		Archiving the rows of a plain DELETE or UPDATE while it runs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_EXECUTOR_TAP_H
#define FG_EXECUTOR_TAP_H

#include "postgres.h"
#include "nodes/execnodes.h"

typedef struct FgTap FgTap;

/*
 * Takes the archiving of a node's rows over from the guard's trigger; they go
 * to the shadow of "owner".  NULL, and nothing changed, where that can't be
 * done: then the trigger archives.  The result lives in the query's context.
 */
extern FgTap *fg_tap_begin(ModifyTableState *node, Oid owner);
/*
 * What follows is told how many rows of a result relation the node has deleted and
 * updated so far, as the server counts.
 *
 * The node is about to be given this row of "rri".
 */
extern void fg_tap_give(FgTap *tap, ResultRelInfo *rri, TupleTableSlot *slot, int64 changes);
/* The node has done with the row that it was given, if it was; changes of its relation. */
extern void fg_tap_take(FgTap *tap, int64 changes);
/* Somebody else's statement begins while the node works on its row. */
extern void fg_tap_nested(FgTap *tap, int64 changes);
/* The last row was taken: archives what is left. */
extern void fg_tap_end(FgTap *tap);
/* After that: raises ZG013 if another number of rows was archived of a relation. */
extern void fg_tap_check(const FgTap *tap, const ResultRelInfo *rri, int64 changes);
/* The statement is over and fg_tap_end() was not called: ZG013. */
extern void fg_tap_left(const FgTap *tap) pg_attribute_noreturn();

#endif							/* FG_EXECUTOR_TAP_H */
