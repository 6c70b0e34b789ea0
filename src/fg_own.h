/*-------------------------------------------------------------------------
 *
 * fg_own.h
 *		What is the guard's own, and whether it is guarded now.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_OWN_H
#define FG_OWN_H

#include "postgres.h"

#include "nodes/nodes.h"

extern void fg_own_setup(void); /* invalidation callbacks, once at load */

/*
 * Is what is the guard's own in this database to be guarded against what runs
 * now?  Not against its own DDL and not against the script of the extension.
 */
extern bool fg_own_guarded(void);
/* The same for what all databases of the cluster share. */
extern bool fg_own_cluster_guarded(void);

/*
 * Around each command, so that what the script of an extension does itself, which
 * may write catalogs, is told from what runs in its midst.  True: an end must
 * follow, also after an error.
 */
extern bool fg_own_script_begin(Node *stmt);
extern void fg_own_script_end(void);
/* Is the command that runs now one of the script's? */
extern bool fg_own_script_command(void);

/* Is it fortress, fortress_shadow or fortress_trash, and the extension's? */
extern bool fg_own_schema(Oid schema);
extern bool fg_own_relation(Oid relid);
/* Was that asked, and it is none of ours?  Nothing is read for that. */
extern bool fg_own_known_foreign(Oid relid);

/*
 * Does a superuser do what a dump does when it is loaded, in a database that
 * has no protected tables as far as its label says?  "schema": where, of ours;
 * InvalidOid: rows or rights, which may be anywhere.
 */
extern bool fg_own_loading(Oid schema);
/* The same for a table without rows, ours or not. */
extern bool fg_own_loading_empty(Oid relid);
/* The same for a table of ours that is an archive; only_empty: one without rows. */
extern bool fg_own_loading_archive(Oid relid, bool only_empty);

/* Asks whether "what" may be done to "object"; raises ZG011 if not. */
extern void fg_own_ask(const char *what, const char *object, Oid relid, const char *why);
/* The same for a relation of ours, or any other. */
extern void fg_own_ask_relation(const char *what, Oid relid);
/* The same for what all databases share, where there is perhaps no extension. */
extern void fg_own_ask_cluster(const char *what, const char *object, const char *why);

/*
 * To be called after a command on subscriptions: asks for each relation of ours
 * that one of them has.
 */
extern void fg_own_check_subscriptions(const char *what);

/*
 * Asks whether a relation of pg_catalog may be altered by a command that names
 * it; nothing to do for any other.  "always": also where the server alone would
 * let it pass without allow_system_table_mods.
 */
extern void fg_own_ask_catalog(const char *what, Oid relid, bool always);
/*
 * Asks whether an object of schema pg_catalog may be made, altered or, "drops",
 * dropped.  What was put there after initdb may go.
 */
extern void fg_own_ask_system(const char *what, Oid class, Oid object, bool drops);
/*
 * Asks whether a function of the guard may change the guard, or weaken it, for
 * somebody who has the right to call it: always, unless it takes a second person
 * here (fortress.require_approval); raises ZG011 if that one has not approved.
 * "function" as "fortress.unprotect()", "object" as in fg_own_ask().
 */
extern void fg_own_ask_approval(const char *function, const char *object, Oid relid);
/* The same, after having raised 42501 unless the current user is an administrator. */
extern void fg_own_require_admin(const char *function, const char *object, Oid relid);

/*
 * Asks whether rows of a relation may be written; nothing to do for one that
 * is neither ours nor a catalog that could unguard.  "adds": rows are only
 * added.
 */
extern void fg_own_ask_write(const char *what, Oid relid, bool adds);

#endif							/* FG_OWN_H */
