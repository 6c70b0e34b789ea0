/*-------------------------------------------------------------------------
 *
 * fg_auditor.c
 *		The launcher: the background worker that keeps the guard's files.
 *
 * Windows live in shared memory, so a crash would forget who used up what.
 * The launcher saves them every ten seconds if they changed, in one process
 * rather than in every backend, so that no session waits for the disk.  It has
 * no database connection: it must run while databases are dropped or cloned,
 * and on a standby too.
 *
 * When it is terminated it ends with exit code 1, so that the postmaster starts
 * it again: ending the launcher is no way to make the guard forgetful.
 * The save at a clean shutdown is the postmaster's own (see fg_budget.c),
 * after the last session has ended.
 *
 * It holds no lock but those that fg_budget_save() takes itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "fg_auditor.h"
#include "fg_budget.h"

#define SAVE_EVERY_MS		10000
#define RESTART_AFTER_S		5

void
fg_auditor_register(void)
{
	BackgroundWorker worker;

	/* pg_upgrade wants a quiet server, and it has no use for windows */
	if (IsBinaryUpgrade || !process_shared_preload_libraries_in_progress)
		return;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = RESTART_AFTER_S;
	strlcpy(worker.bgw_library_name, "fortress_guard", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "fg_auditor_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "fortress_guard launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "fortress_guard launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

void
fg_auditor_launcher_main(Datum main_arg)
{
	TimestampTz last_save;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();

	last_save = GetCurrentTimestamp();
	while (!ShutdownRequestPending)
	{
		TimestampTz now = GetCurrentTimestamp();

		/* a clock that was set back must not put off the next save */
		if (now < last_save ||
			TimestampDifferenceExceeds(last_save, now, SAVE_EVERY_MS))
		{
			fg_budget_save();
			last_save = now = GetCurrentTimestamp();
		}

		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Max(SAVE_EVERY_MS - TimestampDifferenceMilliseconds(last_save, now), 1),
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();

		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}

	proc_exit(1);
}
