import {
  PutLogEventsCommand,
  type CloudWatchLogsClient,
  type PutLogEventsCommandOutput,
} from '@aws-sdk/client-cloudwatch-logs'

import type { Log } from '../lib/log.ts'
import type { LogEvents, LogTarget } from '../logs/log-destination.ts'
import type { AwsCall, AwsCallOptions } from './aws-call.ts'
import { AwsError } from './aws-errors.ts'
import { BodyPool } from './body-pool.ts'
import { compressBody, putLogEventsJson, type PutLogEventsBody } from './put-log-events-body.ts'

export interface PutLogEventsDeps {
  readonly client: CloudWatchLogsClient
  readonly call: AwsCall
  readonly compression: 'gzip' | 'none'
  readonly log: Log
}

export interface LogBatchToPut {
  readonly target: LogTarget
  readonly events: LogEvents
}

export type PutLogEvents = (options: AwsCallOptions, batch: LogBatchToPut) => Promise<PutLogEventsCommandOutput>

/**
 * PutLogEvents with a body of our own making, signed and tried again by the SDK. A compressed batch that is refused for
 * what may be its encoding goes once more as it is; if that is taken, nothing is compressed from then on.
 */
export function createPutLogEvents({ client, call, compression, log }: PutLogEventsDeps): PutLogEvents {
  let compresses = compression === 'gzip'
  const bodies = new BodyPool()
  const send = async (options: AwsCallOptions, { target, body }: SentBatch): Promise<PutLogEventsCommandOutput> =>
    await call(options, async (abortSignal) => client.send(putCommand(target, await body()), { abortSignal }))
  const stopCompressing = (error: unknown): void => {
    if (compresses) log.warn('log batches are sent uncompressed from now on: compressed ones are refused', { error })
    compresses = false
  }
  const put = async (options: AwsCallOptions, target: LogTarget, json: Buffer): Promise<PutLogEventsCommandOutput> => {
    const plain = (): Promise<PutLogEventsBody> => Promise.resolve({ bytes: json, encoding: undefined })
    if (!compresses) return await send(options, { target, body: plain })
    const compressed = once(() => compressBody(json))
    try {
      return await send(options, { target, body: compressed })
    } catch (error) {
      if (!mayBeOfEncoding(error) || (await compressed()).encoding === undefined) throw error
      const output = await send(options, { target, body: plain })
      stopCompressing(error)
      return output
    }
  }
  return async (options, { target, events }) => {
    options.signal.throwIfAborted() // what the events are in may be in use for others by then
    const json = putLogEventsJson(target, events, (likelyBytes) => bodies.take(likelyBytes))
    const output = await put(options, target, json)
    bodies.giveBack(json)
    return output
  }
}

interface SentBatch {
  readonly target: LogTarget
  readonly body: () => Promise<PutLogEventsBody>
}

/** Made within the deadline of the call, and kept for the case that the call tries again. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => (made ??= make())
}

/** The SDK serialises an empty batch; its body is replaced before the length is counted and the request signed. */
function putCommand({ group, stream }: LogTarget, { bytes, encoding }: PutLogEventsBody): PutLogEventsCommand {
  const command = new PutLogEventsCommand({ logGroupName: group, logStreamName: stream, logEvents: [] })
  command.middlewareStack.add(
    (next) => (args) => {
      const request = args.request as { body: unknown; headers: Record<string, string> } // what its protocol makes
      request.body = bytes
      if (encoding !== undefined) request.headers['content-encoding'] = encoding
      return next(args)
    },
    { name: 'panoramaPutLogEventsBody', step: 'build', priority: 'high' },
  )
  return command
}

/** Of a service that cannot read gzip, and of a proxy, whose answer the SDK cannot read. */
const unreadableCodes = new Set(['SerializationException', 'SyntaxError'])

function mayBeOfEncoding(error: unknown): boolean {
  if (!(error instanceof AwsError)) return false
  const { status, code, text } = error
  if (status === 415) return true // "Unsupported Media Type" is what RFC 9110, 15.5.16 has for it
  return status === 400 && (unreadableCodes.has(code) || /encoding|gzip|compress/i.test(text))
}
