/*-------------------------------------------------------------------------
 *
 * fg_event.h
 *		What happened: a line in the server log and a record in the journal.
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
	const char *relation;		/* NULL: the present name of relid */
	Oid			role;			/* the role it was done as */
	int64		rows;			/* -1: not known */
	int64		max_rows;		/* -1: no limit concerned */
	const char *detail;			/* NULL, or a plain phrase; quoted here */
	const char *query;			/* NULL: the running statement's, see
								 * fg_statement_text(); "": none */
	int			sqlerrcode;		/* of the error that follows; 0: none */
	Oid			database;		/* fg_event_write(): in whose log it belongs;
								 * InvalidOid: this one's */
} FgEvent;

/* An event of the current user about no table and no rows; detail may be NULL. */
extern void fg_event_init(FgEvent *event, const char *name, const char *detail);

/*
 * Writes the event now; when this returns it is on disk, or that it could not
 * be written is logged and counted.  Client-chosen text is quoted, so that it
 * can't forge one.  For what stays true though the transaction is rolled back.
 */
extern void fg_event_write(const FgEvent *event);
/*
 * Writes the event before this transaction commits or is prepared, unless the
 * subtransaction that it belongs to is rolled back.  "required": if it can't be
 * recorded then, the transaction fails (ZG013); without the preload, which
 * nothing is recorded without, it is an error at once (55000).
 */
extern void fg_event_queue(const FgEvent *event, bool required);
extern void fg_event_setup(void);	/* transaction callbacks, once at load */
/* schema.table, quoted where SQL needs it, or the number of a relation that is gone; palloc'd */
extern const char *fg_event_relation(Oid relid);
/* A relation as a value for issue_token(), in SQL. */
extern const char *fg_event_relations(Oid relid);
/* What is said about an event, with what is applied if that is how it came to be; either may be NULL. */
extern const char *fg_event_detail(const char *detail, const char *remote);

#endif							/* FG_EVENT_H */
