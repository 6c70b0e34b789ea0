/*-------------------------------------------------------------------------
 *
 * fg_event.c
 *		What happened: a line in the server log and a record in the journal.
 *
 * There are two kinds of events.  What stays true whatever becomes of the
 * transaction (a refusal, a wrong token) is written at once, and is on disk
 * before the error is raised.  What is true only if the transaction commits (a
 * changed policy, a permitted mass change) waits for that: it is written just
 * before the commit, all in one sync, and dropped with the savepoint that it
 * belongs to.  Its xid tells whether the commit then succeeded.
 *
 * If a record can't be written, a refusal stands all the same.  A commit that
 * would leave a permitted change without its record fails instead (ZG013),
 * with nothing done.
 *
 * The line in the server log is made of key=value pairs with values that a
 * person or a program can read.  Names and everything that a client chooses
 * are written as JSON strings: a role named "x rows=0", or an application name
 * with a line break, shows as what it is.  The statement is not repeated in
 * the line: where it failed, the server logs it with the error.
 *
 * Locks: none of its own; the journal's are in fg_journal.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "common/hashfn.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "fg_catalog.h"
#include "fg_client.h"
#include "fg_errors.h"
#include "fg_event.h"
#include "fg_guc.h"
#include "fg_journal.h"
#include "fg_record.h"
#include "fg_statement.h"
#include "fg_xact.h"

/* the longest of texts that a client may choose, in bytes */
#define MAX_CONTEXT		8192
#define MAX_DETAIL		8192

/* An event that waits for the end of its transaction. */
typedef struct FgQueuedEvent
{
	dlist_node	link;
	MemoryContext context;		/* of all of it */
	int			level;			/* nest level that it belongs to */
	bool		required;
	FgRecord	record;
	char	   *line;			/* for the server log */
} FgQueuedEvent;

static dlist_head queue = DLIST_STATIC_INIT(queue);

const char *
fg_event_relation(Oid relid)
{
	char	   *name = get_rel_name(relid);
	char	   *schema = get_namespace_name(get_rel_namespace(relid));

	if (name == NULL || schema == NULL)
		return psprintf("%u", relid);
	return quote_qualified_identifier(schema, name);
}

const char *
fg_event_relations(Oid relid)
{
	const char *name = fg_event_relation(relid);

	if (strchr(name, '"') == NULL)
		return psprintf("'{%s}'", name);
	return psprintf("ARRAY[%s::regclass]", quote_literal_cstr(name));
}

const char *
fg_event_detail(const char *detail, const char *remote)
{
	if (remote == NULL || detail == NULL)
		return detail != NULL ? detail : remote;
	return psprintf("%s (%s)", detail, remote);
}

static char *
role_name(Oid role)
{
	const char *name = GetUserNameFromId(role, true);

	return name != NULL ? fg_statement_clip(name, NAMEDATALEN) : psprintf("%u", role);
}

/* A text that a client may have chosen, fit to be kept. */
static char *
clean_text(const char *text, int max_bytes)
{
	return fg_statement_clip(fg_statement_redact(text, false), max_bytes);
}

/* Appends a member to a JSON object that is not closed yet. */
static void
append_member(StringInfo buf, const char *key, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	appendStringInfoString(buf, buf->len > 1 ? ", " : "");
	escape_json(buf, key);
	appendStringInfoString(buf, ": ");
	escape_json(buf, value);
}

static void
append_text(StringInfo buf, const char *key, const char *value)
{
	appendStringInfo(buf, " %s=", key);
	escape_json(buf, value);
}

/*
 * What is recorded of an event, and its line for the server log; palloc'd in
 * the current context.
 */
static void
make_record(const FgEvent *event, FgRecord *record, char **line)
{
	StringInfoData detail;
	StringInfoData log;
	const char *relation = event->relation != NULL ? event->relation :
	OidIsValid(event->relid) ? fg_event_relation(event->relid) : NULL;
	char	   *context = NULL;
	char	   *phrase = NULL;

	if (fg_context != NULL && fg_context[0] != '\0')
		context = clean_text(fg_context, MAX_CONTEXT);
	if (event->detail != NULL)
		phrase = clean_text(event->detail, MAX_DETAIL);

	memset(record, 0, sizeof(*record));
	record->at = GetCurrentTimestamp();
	record->relid = event->relid;
	record->rows = event->rows;
	record->max_rows = event->max_rows;
	record->pid = MyProcPid;
	record->family = fg_client_inet(record->address);
	record->event = pstrdup(event->name);
	record->operation = event->operation != NULL ? pstrdup(event->operation) : NULL;
	record->session_role = role_name(GetSessionUserId());
	record->actual_role = role_name(event->role);
	record->application_name =
		clean_text(application_name != NULL ? application_name : "", NAMEDATALEN);
	if (event->query == NULL)
		record->query = fg_statement_text();
	else if (event->query[0] != '\0')
		record->query = pstrdup(event->query);

	initStringInfo(&detail);
	appendStringInfoChar(&detail, '{');
	append_member(&detail, "message", phrase);
	if (event->sqlerrcode != 0)
		append_member(&detail, "sqlstate", unpack_sql_state(event->sqlerrcode));
	append_member(&detail, "relation", relation);
	if (OidIsValid(event->relid))
		appendStringInfo(&detail, ", \"relid\": %u", event->relid);
	append_member(&detail, "context", context);
	appendStringInfoChar(&detail, '}');
	record->detail = detail.data;

	initStringInfo(&log);
	appendStringInfo(&log, "fortress_guard %s:", event->name);
	if (event->operation != NULL)
		appendStringInfo(&log, " operation=%s", event->operation);
	if (relation != NULL)
		append_text(&log, "relation", relation);
	if (event->rows >= 0)
		appendStringInfo(&log, " rows=" INT64_FORMAT, event->rows);
	if (event->max_rows >= 0)
		appendStringInfo(&log, " limit=" INT64_FORMAT, event->max_rows);
	append_text(&log, "session_role", record->session_role);
	append_text(&log, "actual_role", record->actual_role);
	append_text(&log, "client", fg_client_text());
	append_text(&log, "application", record->application_name);
	if (context != NULL)
		append_text(&log, "context", context);
	if (phrase != NULL)
		append_text(&log, "detail", phrase);
	*line = log.data;
}

/* Would the server leave a line of level LOG out?  A superuser's session can say so. */
static bool
log_is_silent(void)
{
	const char *from = GetConfigOption("log_min_messages", true, false);

	return from != NULL && (strcmp(from, "fatal") == 0 || strcmp(from, "panic") == 0);
}

static void
log_line(const char *line)
{
	int			level = 0;

	if (log_is_silent())
	{
		level = NewGUCNestLevel();
		(void) set_config_option("log_min_messages", "log", PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	}
	ereport(LOG_SERVER_ONLY,
			(errmsg_internal("%s", line),
			 errhidestmt(true), errhidecontext(true)));
	if (level > 0)
		AtEOXact_GUC(true, level);
}

/*
 * During recovery, and in a database without the extension, there is no log to
 * be filled, and without shared memory no journal.
 */
static bool
have_journal(void)
{
	return fg_preloaded && !RecoveryInProgress() && fg_catalog_present();
}

/*
 * Which records say the same: where the journal is too long, they are counted
 * into one.
 */
static uint64
same_key(const FgEvent *event)
{
	struct
	{
		Oid			relid;
		Oid			role;
		Oid			session_user;
		int			sqlerrcode;
		uint8		address[FG_ADDRESS_LENGTH];
	}			who;
	uint64		key;

	memset(&who, 0, sizeof(who));
	who.relid = event->relid;
	who.role = event->role;
	who.session_user = GetSessionUserId();
	who.sqlerrcode = event->sqlerrcode;
	(void) fg_client_inet(who.address);
	key = hash_bytes_extended((const unsigned char *) &who, sizeof(who), 0);
	key = hash_bytes_extended((const unsigned char *) event->name, strlen(event->name), key);
	if (event->operation != NULL)
		key = hash_bytes_extended((const unsigned char *) event->operation,
								  strlen(event->operation), key);
	return Max(key, 1);
}

static bool
append_record(const FgRecord *record, uint64 same, uint64 *ticket)
{
	StringInfoData buf;
	bool		done;

	initStringInfo(&buf);
	fg_record_pack(&buf, record);
	done = fg_journal_append(buf.data, buf.len, same, ticket);
	pfree(buf.data);
	return done;
}

/* Recording works again: says how much is missing. */
static void
record_losses(void)
{
	uint64		lost = fg_journal_take_lost();
	FgEvent		event = {.name = "unrecorded"};
	FgRecord	record;
	char	   *line;
	uint64		ticket;

	if (lost == 0)
		return;
	event.role = GetUserId();
	event.rows = -1;
	event.max_rows = -1;
	event.query = "";
	event.detail = psprintf(UINT64_FORMAT " events before this one could not be recorded", lost);
	make_record(&event, &record, &line);
	log_line(line);
	/* a failure of this record is counted as one more by itself */
	if (!append_record(&record, 0, &ticket) || !fg_journal_sync(ticket))
		fg_journal_return_lost(lost - 1);
}

/*
 * Another database may have another encoding, in which only ASCII is sure to
 * be valid.
 */
static void
make_ascii(char *text)
{
	for (; text != NULL && *text != '\0'; text++)
	{
		if (IS_HIGHBIT_SET(*text))
			*text = '?';
	}
}

/* Records an event in the log of another database. */
static void
write_elsewhere(Oid database, FgRecord *record, uint64 same)
{
	StringInfoData buf;

	make_ascii(record->session_role);
	make_ascii(record->actual_role);
	make_ascii(record->application_name);
	make_ascii(record->query);
	make_ascii(record->detail);
	initStringInfo(&buf);
	fg_record_pack(&buf, record);
	(void) fg_journal_append_elsewhere(database, buf.data, buf.len, same);
	pfree(buf.data);
}

void
fg_event_init(FgEvent *event, const char *name, const char *detail)
{
	memset(event, 0, sizeof(*event));
	event->name = name;
	event->role = GetUserId();
	event->rows = -1;
	event->max_rows = -1;
	event->detail = detail;
}

/*
 * Where the extension is not, there is no log to be filled, and the server's
 * own has to do.  An event that names this database belongs here though the
 * extension is just about to go.
 */
void
fg_event_write(const FgEvent *event)
{
	FgRecord	record;
	char	   *line;
	uint64		ticket;

	make_record(event, &record, &line);
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		record.xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	log_line(line);
	if (OidIsValid(event->database) &&
		(event->database != MyDatabaseId || !fg_catalog_present()))
	{
		if (fg_preloaded && !RecoveryInProgress())
			write_elsewhere(event->database, &record, same_key(event));
		return;
	}
	if (IsTransactionState() && !fg_catalog_present())
		return;
	if (have_journal() && append_record(&record, same_key(event), &ticket) &&
		fg_journal_sync(ticket))
		record_losses();
}

void
fg_event_queue(const FgEvent *event, bool required)
{
	MemoryContext context;
	MemoryContext old;
	FgQueuedEvent *queued;

	/* nobody would write it: a permission given so would hold later, unrecorded */
	if (required && !fg_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("fortress_guard must be loaded through shared_preload_libraries"),
				 errdetail("Otherwise it cannot record what this would change."),
				 errhint("Add fortress_guard to shared_preload_libraries in postgresql.conf and restart the server."),
				 errhidestmt(true), errhidecontext(true)));

	context = AllocSetContextCreate(TopTransactionContext, "fortress_guard event",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	queued = palloc0(sizeof(FgQueuedEvent));
	queued->context = context;
	fg_xact_touch();
	queued->level = GetCurrentTransactionNestLevel();
	queued->required = required;
	make_record(event, &queued->record, &queued->line);
	dlist_push_tail(&queue, &queued->link);
	MemoryContextSwitchTo(old);
}

/*
 * Writes what waits, in one sync.  If anything of it is required and can't be
 * recorded, the transaction fails here, while it still can.
 */
static void
write_queue(void)
{
	FullTransactionId xid = GetTopFullTransactionIdIfAny();
	uint64		ticket = 0;
	bool		required = false;
	bool		failed = false;
	bool		any = false;
	dlist_iter	iter;

	dlist_foreach(iter, &queue)
	{
		FgQueuedEvent *queued = dlist_container(FgQueuedEvent, link, iter.cur);

		required |= queued->required;
		log_line(queued->line);
		if (!have_journal())
			continue;
		if (FullTransactionIdIsValid(xid))
			queued->record.xid = U64FromFullTransactionId(xid);
		if (append_record(&queued->record, 0, &ticket))
			any = true;
		else
			failed |= queued->required;
	}
	if (any && !fg_journal_sync(ticket))
		failed = required;
	if (failed)
		ereport(ERROR,
				(errcode(ERRCODE_FG_ARCHIVE_FAILED),
				 errmsg("could not record what this transaction was permitted to do"),
				 errdetail("The audit journal could not be written; the server log says why."),
				 errhint("Nothing was changed.  Try again when the journal can be written.")));
	if (any)
		record_losses();
}

static void
event_xact(XactEvent event)
{
	if (dlist_is_empty(&queue))
		return;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		write_queue();
	else
		dlist_init(&queue);
}

static void
event_subxact(SubXactEvent event, int level)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &queue)
	{
		FgQueuedEvent *queued = dlist_container(FgQueuedEvent, link, iter.cur);

		if (queued->level < level)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
		{
			dlist_delete(&queued->link);
			MemoryContextDelete(queued->context);
		}
		else
			queued->level = level - 1;
	}
}

void
fg_event_setup(void)
{
	fg_xact_register(event_xact, event_subxact, FG_XACT_EARLY);
}
