/*-------------------------------------------------------------------------
 *
 * fg_ddl_command.h
 *		What the parts of fg_ddl share: the command that runs now, how it is
 *		asked for, and the pieces of a table as the catalogs show them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_DDL_COMMAND_H
#define FG_DDL_COMMAND_H

#include "postgres.h"
#include "nodes/parsenodes.h"
#include "utils/snapshot.h"
#include "fg_policy.h"

/* what a command does that is seen, relation by relation, while it runs */
#define FG_DDL_RENAMES			0x01
#define FG_DDL_MOVES			0x02	/* to another schema */
#define FG_DDL_GIVES			0x04	/* to another owner */
#define FG_DDL_RETYPES			0x08	/* columns */
#define FG_DDL_SEPARATES		0x10	/* a child or partition from its parent */
#define FG_DDL_JOINS			0x20	/* a child to a parent */
#define FG_DDL_RENAMES_VALUE	0x40	/* of an enum */

/* A trigger or policy that was dropped; its table may yet follow. */
typedef struct FgDdlLoss
{
	Oid			relid;
	Oid			class_id;
	char	   *name;
} FgDdlLoss;

typedef struct FgDdlCommand
{
	NodeTag		tag;
	int			does;			/* FG_DDL_ bits */
	MemoryContext context;		/* lives as long as the command */
	List	   *asked;			/* oids: for which the check before it has asked */
	List	   *unasked;		/* of FgDdlQuestion *: to be asked after it */
	List	   *losses;			/* of FgDdlLoss * */
	List	   *arrivals;		/* oids: relations made, or moved to their schema */
	List	   *rewritten;		/* oids: of new type, as was asked for */
	List	   *kept;			/* oids: tables whose columns go or lose values, and
								 * whose rows were archived for that */
	struct FgDdlCommand *outer; /* the command in which it runs, or NULL */
} FgDdlCommand;

/* The innermost watched command that runs; NULL: none. */
extern FgDdlCommand *fg_ddl_current;

/* Fills in a command; the caller makes it the current one while it runs. */
extern void fg_ddl_command_init(FgDdlCommand *command, Node *stmt);

/* --- asking --- */

typedef struct FgDdlQuestion
{
	Oid			relid;
	const char *what;			/* the command, in words */
	const char *why;			/* what it would do, a whole sentence */
	Oid			not_of;			/* leave out policies that govern this one, too */
	bool		loads;			/* a dump does it after its policies are loaded:
								 * see fg_own_loading() */
} FgDdlQuestion;

/*
 * What governs a table; NULL: nothing, or it is no ordinary or partitioned
 * table, or a temporary one.  See fg_policy_lookup().
 */
extern FgRelation *fg_ddl_governed(Oid relid);
/*
 * Asks the policies of a table for a command; raises ZG005 if it is refused.
 * What nothing governs, the guard's own work and an extension's script on the
 * extension's own tables pass unasked.
 */
extern void fg_ddl_ask(const FgDdlQuestion *question);

/*
 * Asks for each of the relations, which keep values of a type that changes.  The
 * archives among them go with their tables; where no table is asked for, say since
 * it was dropped, they are asked for themselves (ZG011).
 */
extern void fg_ddl_ask_keepers(List *relids, const FgDdlQuestion *question);
/*
 * The same before a command runs, if the table is governed and the user is
 * "entitled" to the command; else fg_ddl_ask_after() asks.  The server refuses
 * the others by itself, but rights may have come by the time that the command
 * has its lock, and so may a policy.
 */
extern void fg_ddl_ask_before(FgDdlCommand *command, const FgDdlQuestion *question,
							  bool entitled);
/* The command has ended: asks what is left. */
extern void fg_ddl_ask_after(const FgDdlCommand *command);
/* Asks all policies of a relation; true if there was permission. */
extern bool fg_ddl_ask_policies(const FgRelation *entry, FgOperation op, Oid relid,
								const char *what);
/*
 * Archives the rows of a table whose columns are about to lose values, once in a
 * command.  Tables without policy, archive or rows of their own are let be.
 */
extern void fg_ddl_keep_rows(Oid relid);
/* Asks to change a trigger of the guard by a side road; ZG011 if refused. */
extern void fg_ddl_ask_trigger(Oid relid, const char *what, const char *trigger);

/* --- pieces of tables --- */

typedef struct FgDdlTrigger
{
	Oid			relid;
	Oid			parent;			/* the trigger that it is a copy of; or InvalidOid */
	char		name[NAMEDATALEN];
	int16		type;
	char		enabled;
} FgDdlTrigger;

/* Reads a trigger as a snapshot (NULL: the catalogs') shows it; false: not there. */
extern bool fg_ddl_read_trigger(Oid trigger, Snapshot snapshot, FgDdlTrigger *found);
/* The relation of a rule or policy in the same way; InvalidOid: not there. */
extern Oid	fg_ddl_read_relation(Oid class_id, Oid object, Snapshot snapshot);

#endif							/* FG_DDL_COMMAND_H */
