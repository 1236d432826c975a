import { createHash, randomUUID } from 'node:crypto'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

import { AgentError, DeadlineError } from '../lib/errors.ts'
import { modeOf } from './artifact-plan.ts'
import { ObjectChangedError, type ArtifactSource, type ObjectBody } from './artifact-source.ts'
import type { WantedFile } from './wanted-release.ts'

export interface DownloadOptions {
  readonly source: ArtifactSource
  /** Where temporary files go. */
  readonly incoming: string
  readonly signal: AbortSignal
  /** How long the body may go without a byte. */
  readonly idleTimeoutMs: number
  readonly onBytes: (bytes: number) => void
}

export interface Download {
  /** The finished file, fsynced, read-only; whoever gets it moves it away. */
  readonly file: string
  readonly sha256: string
  /** Of the version that it is of. */
  readonly etag: string
}

/** What was fetched is not what its name or the listing says. The same version of the object will fail again. */
export class WrongContentError extends AgentError {
  override readonly name = 'WrongContentError'
}

/**
 * Fetches one object into a file of its own and checks size and, where the name is a sha256, content. Throws an
 * ObjectChangedError, a WrongContentError, a DeadlineError when the body falls silent, or what the source or the
 * file system threw; no file is left then, and the body is closed.
 */
export async function downloadObject(wanted: WantedFile, options: DownloadOptions): Promise<Download> {
  const { object, executable } = wanted
  const opened = await options.source.open(object, { signal: options.signal })
  if (opened === 'changed') throw new ObjectChangedError(object.key)
  await using body = opened
  const path = join(options.incoming, randomUUID())
  try {
    const received = await writeBody(path, body, {
      ...options,
      key: object.key,
      maxBytes: object.sizeBytes,
      mode: modeOf({ executable }),
    })
    checkContent(wanted, received)
    return { file: path, sha256: received.sha256, etag: body.etag }
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
}

interface Received {
  readonly sizeBytes: number
  readonly sha256: string
}

interface BodyLimits extends DownloadOptions {
  readonly key: string
  readonly maxBytes: number
  readonly mode: number
}

async function writeBody(path: string, body: ObjectBody, limits: BodyLimits): Promise<Received> {
  await using file: FileHandle = await open(path, 'wx', 0o600)
  const hash = createHash('sha256')
  let sizeBytes = 0
  for await (const chunk of readBody(body, limits)) {
    sizeBytes += chunk.byteLength
    limits.onBytes(chunk.byteLength)
    if (sizeBytes > limits.maxBytes) break
    hash.update(chunk)
    await file.writeFile(chunk)
  }
  await file.chmod(limits.mode)
  await file.sync()
  return { sizeBytes, sha256: hash.digest('hex') }
}

/** The chunks of a body; throws a DeadlineError when no chunk comes for too long. Writing a chunk takes what it takes. */
async function* readBody(body: ObjectBody, { idleTimeoutMs, key }: BodyLimits): AsyncGenerator<Uint8Array> {
  const silence = new AbortController()
  const startTimer = (): NodeJS.Timeout =>
    setTimeout(() => {
      silence.abort(new DeadlineError(`the next byte of ${JSON.stringify(key)}`, idleTimeoutMs))
      // closing the body makes the pending read fail; how it fails does not matter then
      body[Symbol.asyncDispose]().then(undefined, () => undefined)
    }, idleTimeoutMs)
  let timer = startTimer()
  try {
    for await (const chunk of body) {
      clearTimeout(timer)
      yield chunk
      timer = startTimer()
    }
  } catch (error) {
    silence.signal.throwIfAborted()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

function checkContent({ object, promised }: WantedFile, { sizeBytes, sha256 }: Received): void {
  const name = JSON.stringify(object.key)
  if (sizeBytes < object.sizeBytes) {
    throw new AgentError(`${name} ended after ${sizeBytes} of ${object.sizeBytes} bytes`, { retryable: true })
  }
  if (sizeBytes > object.sizeBytes) {
    throw new AgentError(`${name} is longer than the ${object.sizeBytes} bytes that were listed`, { retryable: true })
  }
  if (promised === undefined || promised === sha256) return
  throw new WrongContentError(`${name} has the sha256 ${sha256}, not ${promised} as its name or the manifest says`, {
    hint: 'upload the object again: its content was damaged before it reached the bucket',
  })
}
