/*-------------------------------------------------------------------------
 *
 * fg_policy.h
 *		Which policies govern a relation: the per-backend cache.
 *
 * The cache lives in an arena that relcache invalidation throws away as a
 * whole.  A pointer into it is good until the next catalog access; who keeps
 * one longer pins the arena first.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_POLICY_H
#define FG_POLICY_H

#include "postgres.h"
#include "utils/rel.h"
#include "fg_types.h"

typedef struct FgPolicyArena FgPolicyArena;

typedef struct FgPolicy
{
	Oid			relid;			/* the relation that protect() was called for */
	FgMode		mode;
	bool		require_where;
	int			archive;		/* FG_ARCHIVE_* bits */
	bool		all_columns;	/* UPDATE is guarded whatever it changes */
	int			n_columns;		/* the guarded columns, if not all_columns */
	char	  **columns;
	int			n_limits;
	FgLimit    *limits;
	FgPolicyArena *arena;		/* that it lives in */
	void	   *account;		/* fg_decide_account.c keeps one here for the next statement */
} FgPolicy;

typedef struct FgRelation
{
	Oid			relid;			/* hash key */
	bool		loaded;			/* the fields from n_policies on are valid */
	bool		watched;		/* others depend on it: its change ends the arena */
	bool		descendants_known;	/* protected_descendant is valid */
	bool		protected_descendant;	/* a partition or child has a policy */
	bool		triggers_checked;	/* triggers_intact is valid */
	bool		triggers_intact;
	bool		triggers_idle;	/* none of its triggers has anything to do in a statement */
	int			n_policies;		/* its own and those of its ancestors */
	FgPolicy  **policies;
	Oid		   *shadow_owners;	/* for each policy: whose shadow its rows go to */
	int			archive;		/* FG_ARCHIVE_* bits of all its policies */
	bool		by_row;			/* archived by row triggers: see fg_install.h */
} FgRelation;

extern void fg_policy_setup(void);
/* Is the guard at work in this backend, now?  Needs a transaction. */
extern bool fg_policy_active(void);
/* What governs a relation; NULL if nothing does.  Needs a transaction. */
extern FgRelation *fg_policy_lookup(Oid relid);
/* Has it been looked up, and nothing governs it?  Nothing is read for that. */
extern bool fg_policy_known_ungoverned(Oid relid);
/* Has a partition or inheritance child of the relation a policy of its own? */
extern bool fg_policy_protected_descendant(Oid relid);
/* Those that have one: a list of oids. */
extern List *fg_policy_protected_descendants(Oid relid);
/*
 * Whose shadow takes the relation's rows that an operation (an FG_ARCHIVE_* bit)
 * removes: that of the nearest policy which archives it; InvalidOid: none does.
 */
extern Oid	fg_policy_shadow_owner(const FgRelation *entry, int archive_bit);

extern FgPolicyArena *fg_policy_pin(void);
/* Pins what a policy lives in, perhaps not the one that is current. */
extern void fg_policy_pin_arena(FgPolicyArena *arena);
/* Is it the one that lookups find entries in? */
extern bool fg_policy_is_current(const FgPolicyArena *arena);
extern void fg_policy_unpin(FgPolicyArena *arena);	/* never raises an error */

/* Tells every session, at commit, that the policies of this tree changed. */
extern void fg_policy_changed(Oid relid);
/* All relations above one by partitioning or inheritance, nearest first. */
extern List *fg_policy_ancestors(Oid relid);
/* The row limit that counts now: fractions are resolved to rows. */
extern int64 fg_policy_limit_rows(const FgPolicy *policy, const FgLimit *limit);

#endif							/* FG_POLICY_H */
