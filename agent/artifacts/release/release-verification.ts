import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'

import { AgentError, errorCode } from '../../lib/errors.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { sleep } from '../../lib/sleep.ts'
import type { ReleaseFile } from '../artifact-plan.ts'
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
  /** Called after each MiB and each file, with what was read so far. */
  readonly onProgress: (read: Pick<Verification, 'files' | 'bytes'>) => void
}

interface Found extends Pick<Verification, 'files' | 'bytes'> {
  readonly damaged: readonly ReleaseFile[]
}

const chunkBytes = 1024 * 1024

/**
 * Reads every file of a release and compares it with what was installed, one after the other in constant memory, resting
 * as long as it works. A file that cannot be read is damaged. Throws when the tree goes away meanwhile.
 */
export async function verifyRelease({ root, record, signal, onProgress }: VerifyOptions): Promise<Found> {
  const buffer = Buffer.allocUnsafe(chunkBytes)
  const damaged: ReleaseFile[] = []
  let bytes = 0
  for (const [files, file] of record.files.entries()) {
    const onChunk = (chunkSize: number): void => {
      bytes += chunkSize
      onProgress({ files, bytes })
    }
    const sha256 = await digestOf(join(root, file.path), buffer, { signal, onChunk })
    if (sha256 !== file.sha256) damaged.push(file)
    onProgress({ files: files + 1, bytes })
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
  { signal, onChunk }: { readonly signal: AbortSignal; readonly onChunk: (bytes: number) => void },
): Promise<string> {
  const hash = createHash('sha256')
  try {
    await using file = await open(path)
    for (;;) {
      const startMs = monotonicMs()
      const { bytesRead } = await file.read(buffer, 0, buffer.length)
      if (bytesRead === 0) return hash.digest('hex')
      hash.update(buffer.subarray(0, bytesRead))
      onChunk(bytesRead)
      await sleep(bytesRead < buffer.length ? 0 : monotonicMs() - startMs, signal)
    }
  } catch (error) {
    signal.throwIfAborted()
    if (errorCode(error) === undefined) throw error
    return `unreadable: ${String(errorCode(error))}`
  }
}
