/*-------------------------------------------------------------------------
 *
 * fg_event.h
 *		What happened: one line in the server log for each event.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_EVENT_H
#define FG_EVENT_H

#include "postgres.h"
#include "fg_types.h"

typedef struct FgEvent
{
	const char *name;			/* blocked, observed, permitted, policy_changed ... */
	const char *operation;		/* NULL: none */
	Oid			relid;			/* InvalidOid: none */
	Oid			role;			/* the role it was done as */
	int64		rows;			/* -1: not known */
	int64		max_rows;		/* -1: no limit concerned */
	const char *detail;			/* NULL, or a plain phrase; quoted here */
} FgEvent;

/* Writes the event.  Client-chosen text is quoted, so that it can't forge one. */
extern void fg_event_write(const FgEvent *event);
/* schema.table, quoted where SQL needs it, or the number of a relation that is gone; palloc'd */
extern const char *fg_event_relation(Oid relid);

#endif							/* FG_EVENT_H */
