import type { ArtifactWorker } from '../../artifacts/artifact-worker.ts'
import type { SyncAsk } from '../../jobs/job-actions.ts'
import { bytesText } from '../../lib/quantity-text.ts'
import { sleep } from '../../lib/sleep.ts'

export interface SyncProgressOptions {
  /** Those of the generation in use. */
  readonly artifacts: () => readonly Pick<ArtifactWorker, 'status'>[]
  readonly onProgress: SyncAsk['onProgress']
  /** Default 30 s. */
  readonly everyMs?: number
}

const defaultEveryMs = 30_000

/**
 * Tells how far downloads are until `signal` aborts. Each time is a message that is paid for, so seldom, and only while something
 * moves.
 */
export async function tellSyncProgress(options: SyncProgressOptions, signal: AbortSignal): Promise<void> {
  const { artifacts, onProgress, everyMs = defaultEveryMs } = options
  let told = ''
  const hasEnded = (): boolean => signal.aborted
  while (!hasEnded()) {
    await sleep(everyMs, signal).catch(() => undefined)
    if (hasEnded()) return
    const downloaded = artifacts().flatMap(shown).join(', ')
    if (downloaded !== '' && downloaded !== told) onProgress({ step: 'downloading', downloaded })
    told = downloaded
  }
}

function shown({ status }: Pick<ArtifactWorker, 'status'>): readonly string[] {
  const { name, progress } = status()
  return progress === undefined ? [] : [`${name}: ${bytesText(progress.bytes)} of ${bytesText(progress.totalBytes)}`]
}
