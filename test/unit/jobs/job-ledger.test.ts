import { expect, test } from 'vitest'

import { JobLedger, type LedgerEntry } from '../../../agent/jobs/job-ledger.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const entry = (jobId: string): LedgerEntry => ({
  jobId,
  executionNumber: 1,
  queuedAt: 1_790_000_000,
  digest: 'd',
  operation: 'reboot',
  step: { name: 'begun', data: {} },
  attempts: 0,
  reported: false,
})

test('keeps what was written last, and all that was written, also where a slow disk is at the one before', async () => {
  await using folder = await tempFolder()
  const ledger = new JobLedger({ folder: folder.path, log: new RecordingLog() })
  const outcome = { status: 'FAILED', details: {} } as const
  await Promise.all([
    ledger.put(entry('job-1')),
    ledger.put({ ...entry('job-1'), attempts: 1 }),
    ledger.put(entry('job-2')),
    ledger.put({ ...entry('job-1'), outcome }),
  ])
  const read = new JobLedger({ folder: folder.path, log: new RecordingLog() })
  for (const each of [ledger, read]) {
    expect(await each.find(entry('job-1'))).toMatchObject({ outcome })
    expect(await each.find(entry('job-2'))).toBeDefined()
  }
})
