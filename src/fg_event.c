/*-------------------------------------------------------------------------
 *
 * fg_event.c
 *		What happened: one line in the server log for each event.
 *
 * The line is made of key=value pairs with values that a person or a program
 * can read.  Names and everything that a client chooses are written as JSON
 * strings: a role named "x rows=0", or an application name with a line break,
 * shows as what it is.
 *
 * The statement is not repeated in the line: where it failed, the server logs
 * it with the error; and it may hold a secret.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

#include "fg_client.h"
#include "fg_event.h"
#include "fg_guc.h"

const char *
fg_event_relation(Oid relid)
{
	char	   *name = get_rel_name(relid);
	char	   *schema = get_namespace_name(get_rel_namespace(relid));

	if (name == NULL || schema == NULL)
		return psprintf("%u", relid);
	return quote_qualified_identifier(schema, name);
}

static void
append_text(StringInfo buf, const char *key, const char *value)
{
	appendStringInfo(buf, " %s=", key);
	escape_json(buf, value);
}

static void
append_role(StringInfo buf, const char *key, Oid role)
{
	const char *name = GetUserNameFromId(role, true);

	append_text(buf, key, name != NULL ? name : psprintf("%u", role));
}

void
fg_event_write(const FgEvent *event)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (event->operation != NULL)
		appendStringInfo(&buf, " operation=%s", event->operation);
	if (OidIsValid(event->relid))
		append_text(&buf, "relation", fg_event_relation(event->relid));
	if (event->rows >= 0)
		appendStringInfo(&buf, " rows=" INT64_FORMAT, event->rows);
	if (event->max_rows >= 0)
		appendStringInfo(&buf, " limit=" INT64_FORMAT, event->max_rows);
	append_role(&buf, "session_role", GetSessionUserId());
	append_role(&buf, "actual_role", event->role);
	append_text(&buf, "client", fg_client_text());
	append_text(&buf, "application", application_name != NULL ? application_name : "");
	if (fg_context != NULL && fg_context[0] != '\0')
		append_text(&buf, "context", fg_context);
	if (event->detail != NULL)
		append_text(&buf, "detail", event->detail);

	ereport(LOG_SERVER_ONLY,
			(errmsg_internal("fortress_guard %s:%s", event->name, buf.data),
			 errhidestmt(true), errhidecontext(true)));
	pfree(buf.data);
}
