/*-------------------------------------------------------------------------
 *
 * fg_guc.h
 *		The settings of fortress_guard (prefix "fortress.").
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_GUC_H
#define FG_GUC_H

#include "postgres.h"
#include "fg_types.h"

extern bool fg_enabled;
extern bool fg_guard_superusers;
extern bool fg_session_unlock;
extern int	fg_default_delete_rows;
extern int	fg_default_update_rows;
extern int	fg_default_window_delete_rows;
extern int	fg_default_window_update_rows;
extern int	fg_max_windows;
extern int	fg_retention;		/* seconds; 0: for good */
extern int	fg_audit_retention; /* seconds; 0: for good */
extern int	fg_audit_query_length;	/* bytes; 0: no text */
extern int	fg_trash_retention; /* seconds; 0: for good */
extern int	fg_journal_max_size;	/* kilobytes */
extern int	fg_digest_interval; /* seconds; 0: only at shutdown */
extern char *fg_context;

/* True only if the library came in by shared_preload_libraries. */
extern bool fg_preloaded;

/* What SET fortress.token left behind; see fg_guc_token(). */
typedef struct FgTokenSetting
{
	const char *secret;			/* never NULL or empty */
	bool		from_connection;	/* came with the connection string */
	bool		this_transaction;	/* was set in the running transaction */
} FgTokenSetting;

extern void fg_guc_define(void);
/* The token that is set now; false if there is none. */
extern bool fg_guc_token(FgTokenSetting *setting);
/* Does fortress.ignore_databases match the current database?  (cached) */
extern bool fg_guc_database_ignored(void);
/* The same for any name. */
extern bool fg_guc_name_ignored(const char *database);

#endif							/* FG_GUC_H */
