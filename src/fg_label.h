/*-------------------------------------------------------------------------
 *
 * fg_label.h
 *		What every database of the cluster must know of the others: which of
 *		them have protected tables, and which roles are exempt.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_LABEL_H
#define FG_LABEL_H

#include "postgres.h"
#include "catalog/objectaddress.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* the provider of the labels in pg_shseclabel */
#define FG_LABEL_PROVIDER	"fortress_guard"

extern void fg_label_setup(void);	/* transaction callbacks, once at load */

/* --- reading; in any database --- */

/* Has the database protected tables, as far as its label says? */
extern bool fg_label_protected(Oid database);
/* May it be dropped all the same, by fortress.allow_drop_database()? */
extern bool fg_label_may_drop(Oid database);
/* The first database with protected tables that is not ignored; InvalidOid: none. */
extern Oid	fg_label_any_protected(void);
/* The roles with an exemption, or that approve requests, in any database: their oids. */
extern List *fg_label_exempt_roles(void);

/* --- writing; in a database with the extension --- */

/*
 * Policies, or exemptions and approvers, of this database have come or gone: its
 * labels are brought into step before the transaction commits.
 */
extern void fg_label_policies_changed(void);
extern void fg_label_exemptions_changed(void);
/* Policies were loaded from a dump, of which more may come: no label yet. */
extern void fg_label_policies_loaded(void);
/*
 * The guard is at work in this database: if it was loaded from a dump, it gets
 * its labels when the transaction commits.  Cheap to call again.
 */
extern void fg_label_in_use(void);
/*
 * From now on this database may be dropped; false if it has no label, and may
 * be dropped anyway.
 */
extern bool fg_label_allow_drop(TimestampTz until);
/*
 * SECURITY LABEL is about to set a label of ours: it does not count, and is put
 * back to what it was before the transaction commits.
 */
extern void fg_label_set_aside(const ObjectAddress *object);

#endif							/* FG_LABEL_H */
