import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'

import { z } from 'zod'

import type { CloudRequest } from '../contract.ts'
import { unreadable } from './logs-faults.ts'

/** Room for a full batch whose every byte is escaped as `\u0000`. */
const maxInflatedBytes = 16 * 1_048_576

const text = z.string().nullish()
const integer = z.int().nullish()

/** The members of each input that this service knows; others are ignored, as AWS ignores them. */
export const logsInputs = {
  createLogGroup: z.object({ logGroupName: text }),
  createLogStream: z.object({ logGroupName: text, logStreamName: text }),
  putLogEvents: z.object({
    logGroupName: text,
    logStreamName: text,
    logEvents: z.array(z.object({ timestamp: z.int(), message: z.string() })).nullish(),
  }),
  describeLogGroups: z.object({ logGroupNamePrefix: text, limit: integer, nextToken: text }),
  describeLogStreams: z.object({
    logGroupName: text,
    logStreamNamePrefix: text,
    orderBy: z.enum(['LogStreamName', 'LastEventTime']).nullish(),
    descending: z.boolean().nullish(),
    limit: integer,
    nextToken: text,
  }),
  getLogEvents: z.object({
    logGroupName: text,
    logStreamName: text,
    startTime: integer,
    endTime: integer,
    startFromHead: z.boolean().nullish(),
    limit: integer,
    nextToken: text,
  }),
  filterLogEvents: z.object({
    logGroupName: text,
    logStreamNames: z.array(z.string()).nullish(),
    logStreamNamePrefix: text,
    startTime: integer,
    endTime: integer,
    filterPattern: text,
    limit: integer,
    nextToken: text,
  }),
} as const

/**
 * The JSON of a request, which may be gzipped: the API model does not say so, but Amazon's own agent sends
 * `Content-Encoding: gzip`. Throws SerializationException for anything that is no JSON after that.
 */
export async function readLogsInput(request: CloudRequest): Promise<unknown> {
  const bytes = await decode(request)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw unreadable('The body is not JSON in UTF-8.')
  }
}

/** Throws SerializationException for members of the wrong type; constraints are checked by each action. */
export function parseLogsInput<T>(schema: z.ZodType<T>, input: unknown): T {
  const { data, error } = schema.safeParse(input)
  if (error === undefined) return data
  throw unreadable(error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '))
}

async function decode({ headers, body }: CloudRequest): Promise<Uint8Array> {
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding === 'identity') return body
  if (encoding !== 'gzip') throw unreadable(`Content-Encoding ${encoding} is not known.`)
  try {
    return await promisify(gunzip)(body, { maxOutputLength: maxInflatedBytes })
  } catch {
    throw unreadable('The body is not gzip, or too large.')
  }
}
