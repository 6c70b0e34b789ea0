/*-------------------------------------------------------------------------
 *
 * fg_restore_text.h
 *		Pieces of SQL that the files which write the restoring statement share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_RESTORE_TEXT_H
#define FG_RESTORE_TEXT_H

#include "postgres.h"
#include "lib/stringinfo.h"
#include "fg_restore_sql.h"

#define EQ		"OPERATOR(pg_catalog.=)"
#define CHAR(c) "'" c "'::pg_catalog.\"char\""

/* FG_SHADOW_HOW_OWN, as text */
#define FG_OWN	"i"

/* The name of a CTE: each plan of a statement has its own. */
extern const char *fg_sql_cte(const FgRestorePlan *plan, const char *name);
/* c1, c2, ... of all columns, or of those of the key, each with a prefix */
extern void fg_sql_columns(StringInfo sql, const FgRestorePlan *plan, const char *prefix);
extern void fg_sql_keys(StringInfo sql, const FgRestorePlan *plan, const char *prefix);
/*
 * Equality of keys.  The left side's columns go by their names ("named": the
 * base table's) or by c<number>; the right side's by letter and number.
 */
extern void fg_sql_same_key_as(StringInfo sql, const FgRestorePlan *plan, const char *left,
							   bool named, const char *right, char letter);
extern void fg_sql_same_key(StringInfo sql, const FgRestorePlan *plan, const char *left,
							bool named, const char *right);
/* Do all images have the column? */
extern bool fg_sql_always_known(const FgRestorePlan *plan, const FgRestoreColumn *column);
/* The CTEs up to "plan", which has the verdicts */
extern void fg_sql_verdicts(StringInfo sql, const FgRestorePlan *plan);
/* The table, to read it */
extern const char *fg_sql_table(const FgRestorePlan *plan);
/* Was that version of a row made by the transaction whose changes are undone? */
extern void fg_sql_own_version(StringInfo sql, const FgRestorePlan *plan, const char *alias);

#endif							/* FG_RESTORE_TEXT_H */
