/*-------------------------------------------------------------------------
 *
 * fg_verify.h
 *		What the files of fortress.verify_guard() need of each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_VERIFY_H
#define FG_VERIFY_H

#include "postgres.h"

/* The rows found so far. */
typedef struct FgFindings FgFindings;

/* Texts are copied.  "detail" and "fix" are whole sentences, "fix" preferably SQL. */
extern void fg_verify_good(FgFindings *findings, const char *piece, const char *detail);
extern void fg_verify_bad(FgFindings *findings, const char *piece, const char *detail, const char *fix);
extern void fg_verify_unknown(FgFindings *findings, const char *piece, const char *detail);

/*
 * Adds what a query finds, which gives rows of (piece, ok, detail, fix).  Where
 * it gives none, "piece" is well and "detail" says so; NULL: nothing is said.
 * The query runs as the bootstrap superuser and must look at pg_catalog only,
 * everything qualified.
 */
extern void fg_verify_query(FgFindings *findings, const char *piece, const char *detail,
							const char *query);
/* The same as the owner of schema fortress, for queries on its tables. */
extern void fg_verify_own_query(FgFindings *findings, const char *piece, const char *detail,
								const char *query);

/* --- fg_verify_object.c: what the extension's script made --- */

extern void fg_verify_extension(FgFindings *findings);
extern void fg_verify_schemas(FgFindings *findings);
extern void fg_verify_roles(FgFindings *findings);
extern void fg_verify_functions(FgFindings *findings);
extern void fg_verify_relations(FgFindings *findings);
extern void fg_verify_rights(FgFindings *findings);
/* Are the guard's tables such that they can be read?  Raises no error. */
extern bool fg_verify_readable(void);

/* --- fg_verify_table.c: what is protected; only if they can --- */

extern void fg_verify_tables(FgFindings *findings);
extern void fg_verify_archives(FgFindings *findings);
extern void fg_verify_protected_schemas(FgFindings *findings);
extern void fg_verify_exemptions(FgFindings *findings);
extern void fg_verify_labels(FgFindings *findings);

#endif							/* FG_VERIFY_H */
