/*-------------------------------------------------------------------------
 *
 * fg_executor_watch.h
 *		What fg_executor.c, fg_executor_begin.c and fg_executor_watch.c need of
 *		each other: a watched statement and the watches of its nodes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_EXECUTOR_WATCH_H
#define FG_EXECUTOR_WATCH_H

#include "postgres.h"
#include "lib/ilist.h"
#include "nodes/execnodes.h"
#include "fg_change.h"
#include "fg_counter.h"
#include "fg_decide.h"
#include "fg_executor_tap.h"
#include "fg_policy.h"
#include "fg_tally.h"

/* One result relation of a watched node. */
typedef struct FgTarget
{
	struct FgTarget *next;
	ResultRelInfo *rri;
	FgTally    *tally;			/* rows of this relation in this transaction */
	int			n_accounts;
	FgAccount **accounts;
	FgChange  **changes;		/* for each account: NULL, or its column watch */
	Oid		   *shadow_owners;	/* for each account: whose shadow takes the rows */
	FgChange   *archiver;		/* archives what MERGE does; NULL: triggers do */
	FgCounter  *held_back;		/* for each row operation: rows of the node that
								 * are still to be charged; or NULL */
	FgCounter  *changed;		/* with a tap, or after it: rows deleted and
								 * updated, as far as looked at */
	FgCounter	changed_rows;	/* room for it */
	/* the arrays of a relation with one policy */
	FgAccount  *one_account;
	FgChange   *one_change;
	Oid			one_owner;
} FgTarget;

typedef struct FgQuery FgQuery;

typedef struct FgWatch
{
	dlist_node	link;			/* in the list of running ones, innermost first */
	struct FgWatch *next;		/* of the same query */
	FgQuery    *query;
	ModifyTableState *node;
	PlanState  *input;
	ExecProcNodeMtd input_proc; /* what input->ExecProcNodeReal was */
	int			operations;		/* FG_OP_BIT()s that the node can do */
	bool		late_targets;	/* rows are routed to partitions as they come */
	bool		shared;			/* not the only watch of its query */
	bool		started;		/* was given a row at all */
	bool		compares;		/* rows must be looked at one by one */
	FgMergeTally *merge;		/* for MERGE: the node's own counters */
	int64		candidates;		/* rows handed out since the last look */
	int64		rows_left;		/* look again when there were more */
	int			n_routed;		/* how many of the routed relations were looked at */
	FgTap	   *tap;			/* archives its rows; NULL: triggers do, or nobody */
	FgTarget   *given;			/* with a tap: whose row came last, or the first one */
	FgTarget  **of_relation;	/* with a tap: for each result relation of several */
	FgChange   *root_change;	/* sees where ON CONFLICT goes, for late targets; or NULL */
	FgTarget   *targets;		/* in the order in which they were found */
	FgTarget   *last_target;
	int			n_targets;
	FgTarget	first_target;
} FgWatch;

/*
 * A statement with at least one watch.  Lives as long as its query's context;
 * what nearly every statement needs of the others lives in it.
 */
struct FgQuery
{
	dlist_node	link;			/* in the list of running ones */
	EState	   *estate;
	uint64		scope;
	bool		owns_scope;		/* not a cascade of another statement */
	bool		internal;		/* a statement of the guard's own */
	Oid			role;			/* whose permissions count */
	int			nest_level;
	FgPolicyArena *pin;			/* what its policies live in, or NULL */
	List	   *pins;			/* of FgPolicyArena *: others, found later */
	bool		listed;			/* still in the lists */
	FgWatch    *watches;		/* in the order of their nodes */
	FgWatch    *last_watch;
	List	   *in_hand;		/* those that were given a row and have not asked
								 * for the next, last one first */
	MemoryContextCallback callback;
	FgWatch		first_watch;
};

/* fg_executor_begin.c */

/*
 * Is a node governed by a policy, and can it do what counts?  beside: or can it
 * move the counters of others that are under watch?
 */
extern bool fg_watch_wanted(ModifyTableState *node, bool beside);
/*
 * Checks what can be checked before the first row (triggers, condition) and
 * puts the node under watch, in the current context, which is the query's.
 */
extern void fg_watch_begin(FgQuery *query, ModifyTableState *node);
/* Once all watches of a query are there: may one archive its rows by itself? */
extern void fg_watch_tap(FgQuery *query);
/*
 * Partitions that rows of a node with late_targets were routed to since the last
 * time become targets.
 */
extern void fg_watch_add_late_targets(FgWatch *watch);
/* Refuses, as the server does not count the rows of a relation. */
extern void fg_watch_refuse_blind(const FgWatch *watch, const FgPolicy *policy, Relation rel);

/* fg_executor_watch.c */

/* Puts a watch on the list of the running ones. */
extern void fg_watch_list(FgWatch *watch);
/* Puts it in front of its node's input. */
extern void fg_watch_stand(FgWatch *watch);
/* Settles what every running node has done, before somebody else does more. */
extern void fg_watch_settle_running(void);
/* Settles what is left of a query's nodes. */
extern void fg_watch_settle_query(FgQuery *query);
/*
 * Before the triggers of a statement fire, archives what is left.  Where it was
 * stopped before its end, so that the server does not fire statement triggers,
 * fires the guard's.
 */
extern void fg_watch_archive_rest(FgQuery *query);
/* When all nodes have come to their end: raises ZG013 if one has rows left to archive. */
extern void fg_watch_archived(const FgQuery *query);
/* Takes a watch off the list.  Never raises an error. */
extern void fg_watch_end(FgWatch *watch);
/* Is any statement under watch? */
extern bool fg_watch_any(void);

#endif							/* FG_EXECUTOR_WATCH_H */
