import { monotonicMs } from '../../lib/monotonic.ts'
import type { FollowedFile } from './followed-file.ts'
import type { GapRecord } from '../log-source.ts'

/** What of a file was lost, and when it was written. */
export type Loss = Pick<GapRecord, 'bytes' | 'firstMs' | 'lastMs'>

/** `bytes` of a file that was ended, and when they were written. */
export function lossOf(
  { readAllAtMs, quietSinceMs }: FollowedFile,
  { bytes, mayMissMore, nowMs }: { readonly bytes: number; readonly mayMissMore: boolean; readonly nowMs: number },
): Loss {
  const sinceMs = nowMs - monotonicMs()
  return {
    ...(bytes === 0 ? {} : { bytes }),
    ...(readAllAtMs === undefined ? {} : { firstMs: Math.floor(sinceMs + readAllAtMs) }),
    lastMs: Math.floor(mayMissMore ? nowMs : sinceMs + quietSinceMs),
  }
}
