import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'

import type { CloudResponse } from './contract.ts'
import type { Fault } from './faults.ts'

export interface WriteOptions {
  /** Aborts when the connection has gone. */
  readonly signal: AbortSignal
  /** For the Date header. */
  readonly nowMs: number
  readonly faults: readonly Fault[]
  /** Called before the bytes leave, so that a client never knows more than the record. */
  readonly onBytes: (bytes: number) => void
}

/**
 * Writes an answer, misshapen by the faults that concern bodies and clocks. Returns when everything was handed to the
 * connection, when it was cut, or when the client has gone.
 */
export async function writeResponse(
  outgoing: ServerResponse,
  { status, headers = {}, body }: CloudResponse,
  { signal, nowMs, faults, onBytes }: WriteOptions,
): Promise<void> {
  outgoing.sendDate = false
  outgoing.writeHead(status, {
    date: new Date(nowMs + clockOffset(faults)).toUTCString(),
    ...headers,
    ...(body === undefined || body instanceof Readable ? {} : { 'content-length': Buffer.byteLength(body) }),
  })
  const limit = bodyLimit(faults)
  let sent = 0
  if (limit !== undefined) outgoing.flushHeaders()
  for await (const chunk of chunksOf(body)) {
    const part = limit === undefined ? chunk : chunk.subarray(0, limit.afterBytes - sent)
    sent += part.length
    onBytes(part.length)
    if (part.length > 0) await write(outgoing, part, signal)
    if (signal.aborted) return
    if (limit === undefined || part.length === chunk.length) continue
    await interrupt(outgoing, limit.kind, signal)
    return
  }
  outgoing.end()
}

function clockOffset(faults: readonly Fault[]): number {
  return faults.reduce((sum, fault) => sum + (fault.kind === 'clock' ? fault.offsetMs : 0), 0)
}

function bodyLimit(faults: readonly Fault[]): Extract<Fault, { kind: 'cut' | 'stall' }> | undefined {
  for (const fault of faults) if (fault.kind === 'cut' || fault.kind === 'stall') return fault
  return undefined
}

async function* chunksOf(body: CloudResponse['body']): AsyncGenerator<Uint8Array> {
  if (body === undefined) return
  if (!(body instanceof Readable)) {
    yield Buffer.from(body)
    return
  }
  for await (const chunk of body) {
    if (chunk instanceof Uint8Array) yield chunk
    else if (typeof chunk === 'string') yield Buffer.from(chunk)
  }
}

/** Waits until the bytes are with the operating system: a cut must come after them, not in place of them. */
async function write(outgoing: ServerResponse, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const done = (): void => {
    resolve(undefined)
  }
  signal.addEventListener('abort', done, { once: true })
  if (signal.aborted) done()
  else outgoing.write(bytes, done)
  await promise
  signal.removeEventListener('abort', done)
}

async function interrupt(outgoing: ServerResponse, kind: 'cut' | 'stall', signal: AbortSignal): Promise<void> {
  if (kind === 'cut') outgoing.destroy()
  else if (!signal.aborted) await once(signal, 'abort')
}
