import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'

import { AgentError, errorCode } from '../lib/errors.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { sleep } from '../lib/sleep.ts'
import type { ReleaseFile } from './artifact-plan.ts'
import type { ReleaseRecord } from './release-tree.ts'

/** What came of reading a release. */
export interface Verification {
  readonly releaseId: string
  readonly files: number
  readonly bytes: number
  /** Paths of files whose content is not what it was. */
  readonly damaged: readonly string[]
}

export interface VerifyOptions {
  /** The tree. */
  readonly root: string
  readonly record: ReleaseRecord
  readonly signal: AbortSignal
}

interface Found extends Pick<Verification, 'files' | 'bytes'> {
  readonly damaged: readonly ReleaseFile[]
}

const chunkBytes = 1024 * 1024

/**
 * Reads every file of a release and compares it with what was installed, one after the other in constant memory, resting
 * as long as it works. A file that cannot be read is damaged. Throws when the tree goes away meanwhile.
 */
export async function verifyRelease({ root, record, signal }: VerifyOptions): Promise<Found> {
  const buffer = Buffer.allocUnsafe(chunkBytes)
  const damaged: ReleaseFile[] = []
  let bytes = 0
  for (const file of record.files) {
    const found = await digestOf(join(root, file.path), buffer, signal)
    if (found.sha256 !== file.sha256) damaged.push(file)
    bytes += found.bytes
  }
  await open(root).then(
    (folder) => folder.close(),
    (cause: unknown) => {
      throw new AgentError('the release was replaced while it was read', { retryable: true, cause })
    },
  )
  return { files: record.files.length, bytes, damaged }
}

async function digestOf(
  path: string,
  buffer: Buffer,
  signal: AbortSignal,
): Promise<{ readonly sha256: string; readonly bytes: number }> {
  const hash = createHash('sha256')
  let bytes = 0
  try {
    await using file = await open(path)
    for (;;) {
      const startMs = monotonicMs()
      const { bytesRead } = await file.read(buffer, 0, buffer.length)
      if (bytesRead === 0) return { sha256: hash.digest('hex'), bytes }
      hash.update(buffer.subarray(0, bytesRead))
      bytes += bytesRead
      await sleep(bytesRead < buffer.length ? 0 : monotonicMs() - startMs, signal)
    }
  } catch (error) {
    signal.throwIfAborted()
    if (errorCode(error) === undefined) throw error
    return { sha256: `unreadable: ${String(errorCode(error))}`, bytes }
  }
}
