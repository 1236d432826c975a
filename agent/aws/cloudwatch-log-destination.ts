import {
  CreateLogGroupCommand,
  CreateLogStreamCommand,
  type CloudWatchLogsClient,
  type RejectedLogEventsInfo,
} from '@aws-sdk/client-cloudwatch-logs'

import type { Log } from '../lib/log.ts'
import type { LogDestination, LogTarget, PutOutcome, RejectedEvents } from '../logs/log-destination.ts'
import type { AwsCall } from './aws-call.ts'
import { AwsError } from './aws-errors.ts'
import { createPutLogEvents } from './put-log-events.ts'

export interface CloudWatchLogDestinationDeps {
  readonly client: CloudWatchLogsClient
  readonly call: AwsCall
  /** Of batches. */
  readonly compression: 'gzip' | 'none'
  readonly log: Log
}

const withinMs = 25_000

/**
 * CloudWatch Logs by PutLogEvents, CreateLogStream and CreateLogGroup (API reference). Throws AwsErrors; a conflict
 * with another request for the same group (OperationAbortedException) is one that can be tried again.
 */
export function createCloudWatchLogDestination(deps: CloudWatchLogDestinationDeps): LogDestination {
  const { client, call } = deps
  const putLogEvents = createPutLogEvents(deps)
  return {
    put: async (target, events, signal) => {
      const options = { ...request('PutLogEvents', resourceOf(target)), signal }
      try {
        const { rejectedLogEventsInfo } = await putLogEvents(options, { target, events })
        return { kind: 'accepted', rejected: countRejected(rejectedLogEventsInfo, events.length) }
      } catch (error) {
        return outcomeOf(error)
      }
    },
    createStream: async ({ group, stream }, signal) => {
      const command = new CreateLogStreamCommand({ logGroupName: group, logStreamName: stream })
      const options = { ...request('CreateLogStream', resourceOf({ group, stream })), signal }
      try {
        await call(options, (inner) => client.send(command, { abortSignal: inner }))
        return 'created'
      } catch (error) {
        if (hasCode(error, 'ResourceAlreadyExistsException')) return 'exists'
        if (hasCode(error, 'ResourceNotFoundException')) return 'no-group'
        throw error
      }
    },
    createGroup: async (group, signal) => {
      const command = new CreateLogGroupCommand({ logGroupName: group })
      try {
        await call({ ...request('CreateLogGroup', group), signal }, (inner) =>
          client.send(command, { abortSignal: inner }),
        )
        return 'created'
      } catch (error) {
        if (hasCode(error, 'ResourceAlreadyExistsException')) return 'exists'
        throw error
      }
    },
  }
}

/**
 * Counts each refused event once. Of RejectedLogEventsInfo, `tooNewLogEventStartIndex` is the first that is too new;
 * the other two indexes are one past the last that is too old or expired.
 */
export function countRejected(info: RejectedLogEventsInfo | undefined, events: number): RejectedEvents {
  const tooOld = info?.tooOldLogEventEndIndex ?? 0
  const expired = Math.max(0, (info?.expiredLogEventEndIndex ?? 0) - tooOld)
  return { tooOld, expired, tooNew: events - (info?.tooNewLogEventStartIndex ?? events) }
}

function request(
  operation: string,
  resource: string,
): { service: 'logs'; operation: string; resource: string; withinMs: number } {
  return { service: 'logs', operation, resource, withinMs }
}

function resourceOf({ group, stream }: LogTarget): string {
  return `${group}:log-stream:${stream}`
}

/** Sequence tokens are of no use any more; where an old endpoint still speaks of them, the batch is there. */
function outcomeOf(error: unknown): PutOutcome {
  if (hasCode(error, 'ResourceNotFoundException')) return { kind: 'no-stream' }
  if (hasCode(error, 'DataAlreadyAcceptedException') || hasCode(error, 'InvalidSequenceTokenException')) {
    return { kind: 'accepted', rejected: countRejected(undefined, 0) }
  }
  if (error instanceof AwsError && error.failure === 'network') return { kind: 'cut-short', error }
  if (error instanceof AwsError && isRefusal(error)) return { kind: 'refused', error }
  throw error
}

/** What is wrong with the batch itself stays wrong, whenever it is sent. */
function isRefusal({ code, status }: AwsError): boolean {
  return code === 'InvalidParameterException' || code === 'SerializationException' || status === 413
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof AwsError && error.code === code
}
